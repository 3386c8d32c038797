"""One entry of a schedule: which task, when, and when it ran last."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Self

from kombu.utils.functional import reprcall

from svcjobs_celery_compat.schedules import maybe_schedule, schedstate


class SchedulingError(Exception):
    """A task couldn't be sent."""


class BeatLazyFunc:
    """An argument of a scheduled task that is worked out each time the task is sent.

    Args:
        func: is called.
        *args: with these.
        **kwargs: and these.
    """

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._func = func
        self._func_params: dict[str, Any] = {"args": args, "kwargs": kwargs}

    def __call__(self) -> Any:
        return self.delay()

    def delay(self) -> Any:
        """The value now."""
        return self._func(*self._func_params["args"], **self._func_params["kwargs"])


@functools.total_ordering
class ScheduleEntry:
    """An entry of a schedule.

    Args:
        name: of the entry.
        task: name of the task.
        last_run_at: when it was sent last; now for a new one.
        total_run_count: how often it was sent.
        schedule: when: seconds, a timedelta, or a schedule.
        args: of the task.
        kwargs: of the task.
        options: of ``apply_async``.
        relative: see :class:`~svcjobs_celery_compat.schedules.schedule`.
        app: the app.
    """

    name: Any = None
    schedule: Any = None
    args: Any = None
    kwargs: Any = None
    options: Any = None
    last_run_at: Any = None
    total_run_count: int = 0

    def __init__(
        self,
        name: str | None = None,
        task: str | None = None,
        last_run_at: datetime | None = None,
        total_run_count: int | None = None,
        schedule: Any = None,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        relative: bool = False,
        app: Any = None,
    ) -> None:
        self.app = app
        self.name = name
        self.task = task
        self.args = args
        self.kwargs = kwargs or {}
        self.options = options or {}
        self.schedule = maybe_schedule(schedule, relative, app=self.app)
        self.last_run_at = last_run_at or self.default_now()
        self.total_run_count = total_run_count or 0

    def default_now(self) -> datetime:
        """The present, by the schedule's clock."""
        return self.schedule.now() if self.schedule else self.app.now()  # type: ignore[no-any-return]

    def _default_now(self) -> datetime:
        """Its former name, by which packages order moments: it gives none twice, unless time is frozen."""
        time.sleep(1e-6)
        return self.default_now()

    def next(self, last_run_at: datetime | None = None) -> Self:
        """The entry as it is after a run."""
        changed = {"last_run_at": last_run_at or self.default_now(), "total_run_count": self.total_run_count + 1}
        return self.__class__(**{**dict(self), **changed})

    __next__ = _next_instance = next

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(vars(self).items())

    def update(self, other: ScheduleEntry) -> None:
        """Take over what users may change: task, schedule, arguments and options."""
        for name in ("task", "schedule", "args", "kwargs", "options"):
            setattr(self, name, getattr(other, name))

    def is_due(self) -> schedstate:
        """Whether it is due; see :meth:`svcjobs_celery_compat.schedules.schedule.is_due`."""
        return self.schedule.is_due(self.last_run_at)  # type: ignore[no-any-return]

    def editable_fields_equal(self, other: ScheduleEntry) -> bool:
        """Whether what users may change is the same."""
        return all(
            getattr(self, name) == getattr(other, name) for name in ("task", "args", "kwargs", "options", "schedule")
        )

    def __eq__(self, other: object) -> bool:
        return self.editable_fields_equal(other) if isinstance(other, ScheduleEntry) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it is changed in place

    def __lt__(self, other: object) -> bool:
        # a heap compares entries that are due together: any order will do, as long as it stays
        return id(self) < id(other) if isinstance(other, ScheduleEntry) else NotImplemented

    def __repr__(self) -> str:
        call = reprcall(self.task, self.args or (), self.kwargs or {})
        return f"<{type(self).__name__}: {self.name} {call} {self.schedule}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (
            self.name,
            self.task,
            self.last_run_at,
            self.total_run_count,
            self.schedule,
            self.args,
            self.kwargs,
            self.options,
        )


def _evaluate_entry_args(entry_args: Any) -> list[Any]:
    return [_evaluated(value) for value in entry_args or ()]


def _evaluate_entry_kwargs(entry_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: _evaluated(value) for name, value in (entry_kwargs or {}).items()}


def _evaluated(value: Any) -> Any:
    return value() if isinstance(value, BeatLazyFunc) else value
