"""The schedule as it is kept in the queue: when each entry ticked last, and when it is due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from svcjobs.clock import utc
from svcjobs.scheduled_task import ScheduledTask, first_run_at

_LATE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the schedule.

    Args:
        name: its own.
        schedule: when it ticks, in words.
        runs: the job's name, or that of the function.
        last_at: the last tick that any scheduler took; None when none is known.
        next_at: the tick after that.
        is_late: that one is over, and nobody took it.
    """

    name: str
    schedule: str
    runs: str
    last_at: datetime | None
    next_at: datetime
    is_late: bool


def timetable(tasks: Iterable[ScheduledTask], now: datetime) -> list[Entry]:
    """The entries, in the order of the schedule.

    Raises:
        QueueUnavailable: a queue that keeps ticks doesn't answer.
    """
    return [_entry(task, now) for task in tasks]


def _entry(task: ScheduledTask, now: datetime) -> Entry:
    queue = task.claiming_queue
    last = None if queue is None else queue.last_tick(task.name)
    last_at = None if last is None else utc(last)
    next_at = first_run_at(task.schedule, now) if last_at is None else task.schedule.next_after(last_at)
    runs = task.job.name if task.job else str(getattr(task.func, "__qualname__", "a function"))
    return Entry(task.name, str(task.schedule), runs, last_at, next_at, next_at < now - _LATE)
