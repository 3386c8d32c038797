"""The options that say which server and which queues, and the queues they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from svcjobs._redis.urls import mask
from svcjobs.cli.completion import complete_queues
from svcjobs.easy import open_client, open_queue
from svcjobs.errors import ConfigurationError
from svcjobs.queue import JobQueue
from svcjobs.settings import QueueSettings, redis_url

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs are kept, as options and environment say.

    Args:
        driver: the value of ``--driver``; ``--redis-url`` alone means redis.
        redis_url: the value of ``--redis-url``.
    """

    driver: str | None = None
    redis_url: str | None = None

    @property
    def is_memory(self) -> bool:
        """Whether jobs are kept in this process only.

        Raises:
            ConfigurationError: JOBS_DRIVER is unknown.
        """
        if self.driver or self.redis_url:
            return self.driver == "memory"
        return QueueSettings.from_environment().driver == "memory"

    @contextmanager
    def open(self, names: Sequence[str] = ()) -> Iterator[list[JobQueue]]:
        """The named queues (the default queue when none is named), closed at the end.

        Raises:
            ConfigurationError: the driver is memory, whose jobs no other process can see.
        """
        self.check_shared()
        client = open_client(self.url)
        queues = [open_queue(client, name) for name in names or (None,)]
        try:
            yield list(queues)
        finally:
            for queue in queues:
                queue.close()
            client.close()

    def check_shared(self) -> None:
        """Refuse a place that other processes can't see.

        Raises:
            ConfigurationError: the driver is memory.
        """
        if self.is_memory:
            raise ConfigurationError(
                "the memory driver keeps jobs inside one process, so there is nothing to see from here: "
                "set JOBS_DRIVER=redis and REDIS_URL, or pass --redis-url"
            )

    def __str__(self) -> str:
        return "memory" if self.is_memory else mask(self.url)

    @property
    def url(self) -> str:
        """The server's URL."""
        return self.redis_url or redis_url()

    @contextmanager
    def open_one(self, name: str | None) -> Iterator[JobQueue]:
        """One queue, the default one when ``name`` is None; as :meth:`open`."""
        with self.open((name,) if name is not None else ()) as queues:
            yield queues[0]


def place_options(command: F) -> F:
    """Adds ``--driver`` and ``--redis-url``; the function gets them as ``place``."""

    @click.option(
        "--driver",
        type=click.Choice(["memory", "redis"], case_sensitive=False),
        help="Where jobs are kept; JOBS_DRIVER otherwise.",
    )
    @click.option(
        "--redis-url",
        metavar="URL",
        help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://; REDIS_URL otherwise.",
    )
    @wraps(command)
    def with_place(*args: Any, driver: str | None, redis_url: str | None, **options: Any) -> Any:
        if driver == "memory" and redis_url:
            raise click.UsageError("--driver memory and --redis-url don't go together")
        return command(*args, place=Place(driver, redis_url), **options)

    return with_place  # type: ignore[return-value]  # click passes by keyword


class QueueNames(click.ParamType[tuple[str, ...], str]):
    """Queue names with commas between them."""

    name = "queues"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
        if "" in names:
            self.fail(f"{value!r} has an empty name in it", param, ctx)
        return names


class QueueName(click.ParamType[str, str]):
    """The name of one queue."""

    name = "queue"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if "," in value:
            self.fail(f"{value!r} names several queues: give one", param, ctx)
        return str(value)


queues_option = click.option(
    "-Q", "--queues", "names", type=QueueNames(), default=(), metavar="NAME[,NAME…]",
    help="Queues, with commas between them. Default: the default queue.", shell_complete=complete_queues,
)  # fmt: skip
queue_option = click.option(
    "-Q", "--queue", "name", type=QueueName(), metavar="NAME", help="The queue. Default: the default queue.",
    shell_complete=complete_queues,
)  # fmt: skip
