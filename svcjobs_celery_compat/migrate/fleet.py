"""The workers of both kinds, as their answers to remote control describe them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kombu.exceptions import OperationalError

from svcjobs.cli.queues import Place
from svcjobs.errors import QueueUnavailable
from svcjobs.settings import QueueSettings
from svcjobs_celery_compat.migrate.routing.route import Side, is_beside

ANSWER_SECONDS = 1.0
_OURS = "(svcjobs)"
"""What our workers' reports have for Celery's code name."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker that answered.

    Args:
        name: its node name.
        side: its kind.
        queues: where it takes tasks from.
        tasks: the names that it knows.
    """

    name: str
    side: Side
    queues: Sequence[str]
    tasks: frozenset[str]


@contextmanager
def open_app(place: Place) -> Iterator[Any]:
    """An app on the broker that options and environment name, without tasks of its own.

    Raises:
        ConfigurationError: the driver is memory, or the URL can't be used.
        QueueUnavailable: the server doesn't answer.
    """
    from svcjobs_celery_compat import Celery

    place.check_shared()
    app = Celery("svcjobs-migrate", broker=place.url, set_as_current=False)
    app.conf.broker_transport_options = {"prefix": QueueSettings.from_environment().prefix}
    try:
        yield app
    except OperationalError as error:
        raise QueueUnavailable(f"the broker doesn't answer: {error}") from error
    finally:
        app.close()


def ask_workers(app: Any, seconds: float = ANSWER_SECONDS) -> list[WorkerInfo]:
    """The workers that answer within some seconds."""
    reports = app.control.inspect(timeout=seconds).report() or {}
    # those that are known needn't be waited for
    inspect = app.control.inspect(sorted(reports), timeout=seconds, limit=len(reports))
    queues, tasks = (inspect.active_queues() or {}, inspect.registered() or {}) if reports else ({}, {})
    return [
        WorkerInfo(
            name,
            Side.SVCJOBS if _OURS in str(reports[name].get("ok")) else Side.CELERY,
            tuple(queue["name"] for queue in queues.get(name) or ()),
            # a name may be followed by attributes in brackets
            frozenset(task.partition(" [")[0] for task in tasks.get(name) or ()),
        )
        for name in sorted(reports)
    ]


def unattended(workers: Sequence[WorkerInfo], side: Side) -> list[str]:
    """The queues of one side, beside those that any worker takes, that no worker of that side takes."""
    taken = {queue for worker in workers if worker.side is side for queue in worker.queues}
    shared = {queue for worker in workers for queue in worker.queues if not is_beside(queue)} or {"celery"}
    return sorted({side.queue_beside(queue) for queue in shared} - taken)
