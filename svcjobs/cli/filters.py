"""Which jobs a command is about: the options ``--name``, ``--error``, ``--older-than`` and ``--newer-than``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, TypeVar

import click

from svcjobs.cli.completion import complete_dead_names, complete_living_names
from svcjobs.cli.durations import in_seconds
from svcjobs.job import Job

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant; what is None doesn't matter.

    Args:
        name: a glob of the job's name, such as ``send_*``.
        error: text that its last error contains, in any case.
        reason: why it is dead.
        older_seconds: least age: how long it has been dead, or due.
        newer_seconds: greatest age.
    """

    name: str | None = None
    error: str | None = None
    reason: str | None = None
    older_seconds: float | None = None
    newer_seconds: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it takes every job."""
        return self == Filter()

    def matches(self, job: Job, now: datetime) -> bool:
        """Whether the job is meant; ``now`` is the queue's time."""
        age = (now - (job.dead_at or job.available_at)).total_seconds()
        return (
            (self.name is None or fnmatchcase(job.name, self.name))
            and (self.error is None or self.error.casefold() in (job.last_error or "").casefold())
            and (self.reason is None or job.reason == self.reason)
            and (self.older_seconds is None or age >= self.older_seconds)
            and (self.newer_seconds is None or age <= self.newer_seconds)
        )


class Span(click.ParamType[float, str]):
    """A duration: ``90``, ``90s``, ``15m``, ``2h``, ``7d``, ``1w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        seconds = in_seconds(value)
        if not re.fullmatch(r"\d+(\.\d+)?", seconds):
            self.fail(f"{value!r} is no duration: write 90s, 15m, 2h, 7d or 1w", param, ctx)
        return float(seconds)


def filter_options(*, dead: bool) -> Callable[[F], F]:
    """Adds the options of a filter; the function gets it as ``chosen``.

    Args:
        dead: they are for dead jobs, which have a reason.
    """
    what = "dead" if dead else "due"
    options = [
        click.option(
            "--name",
            "name_glob",
            metavar="GLOB",
            help="Jobs whose name matches, such as 'send_*'.",
            shell_complete=complete_dead_names if dead else complete_living_names,
        ),
        click.option("--error", metavar="TEXT", help="Jobs whose last error contains this, in any case."),
        click.option("--older-than", type=Span(), metavar="AGE", help=f"Jobs {what} for so long: 90s, 15m, 2h, 7d."),
        click.option("--newer-than", type=Span(), metavar="AGE", help=f"Jobs {what} for no longer than that."),
    ]
    if dead:
        options.insert(2, click.option("--reason", help="Jobs that died for this reason, such as exhausted."))

    def decorate(command: F) -> F:
        @wraps(command)
        def with_filter(
            *args: Any, name_glob: str | None, error: str | None, older_than: float | None, newer_than: float | None,
            reason: str | None = None, **others: Any,
        ) -> Any:  # fmt: skip
            chosen = Filter(name_glob, error, reason, older_than, newer_than)
            return command(*args, chosen=chosen, **others)

        decorated: Any = with_filter
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]  # click passes by keyword

    return decorate
