"""One entry of a schedule: what is due when, and what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from svcjobs.cron import Cron, Every, Schedule, in_utc
from svcjobs.errors import ConfigurationError
from svcjobs.job import NewJob
from svcjobs.queue import JobQueue

Misfire = Literal["skip", "once", "all"]

_MICROSECOND = timedelta(microseconds=1)
_CORRECTION = timedelta(hours=3)
"""A clock set back further than this was wrong before, as cron(8) takes it; less is repeated time."""


class EachTick:
    """The schedule of a task with interval 0: due whenever the scheduler ticks.

    Args:
        tick_interval: seconds between the ticks of ``run()``.
    """

    def __init__(self, tick_interval: float) -> None:
        self._tick_interval = timedelta(seconds=tick_interval)

    def __str__(self) -> str:
        return "at each tick"

    def next_after(self, at: datetime) -> datetime:
        """One ``tick_interval`` later."""
        return at + self._tick_interval

    def last_until(self, at: datetime) -> datetime:
        """``at`` itself."""
        return at


@dataclass(slots=True, eq=False)
class ScheduledTask:
    """A named schedule with the function it runs or the job it enqueues.

    Args:
        name: unique in a scheduler; ticks are claimed under it in ``queue``.
        schedule: when.
        misfire: what becomes of missed ticks, see :class:`~svcjobs.scheduler.InMemoryScheduler`.
        next_run_at: the tick that comes next, or that is due and couldn't be served yet; aware, in UTC.
        func: what to call; None for a job.
        job: what to enqueue; None for a function.
        queue: where the job goes and the ticks are claimed; None claims nothing.
        runs: how often it ran or was enqueued by this scheduler.
        failures: how often it raised.
    """

    name: str
    schedule: Schedule
    misfire: Misfire
    next_run_at: datetime
    func: Callable[[], object] | None = None
    job: NewJob | None = None
    queue: JobQueue | None = None
    runs: int = 0
    failures: int = 0

    located: bool = field(default=False, repr=False)
    """Whether ``next_run_at`` takes into account which ticks the queue knows as taken."""
    retry_at: float = field(default=0, repr=False)
    """Not before this monotonic time, as it couldn't be served: another scheduler leads, or the queue didn't answer."""
    running: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def claiming_queue(self) -> JobQueue | None:
        """The queue that keeps which ticks were taken. Without shared instants there is nothing to claim."""
        return None if isinstance(self.schedule, EachTick) else self.queue

    def wants(self, now: datetime, monotonic: float) -> bool:
        """Whether it is due and idle. What the queue knows of it may make it due, so that has to be asked first."""
        unknown = self.claiming_queue is not None and not self.located
        return not self.running and (unknown or self.next_run_at <= now) and self.retry_at <= monotonic

    def pick(self, now: datetime, late: timedelta) -> datetime | None:
        """The tick to serve at ``now``, by the misfire policy; None when nothing is due.

        Args:
            now: the present.
            late: how late a tick may be served under ``skip``.
        """
        if self.next_run_at > now:
            return None
        if self.misfire == "all" and not isinstance(self.schedule, EachTick):
            return self.next_run_at
        latest = self.schedule.last_until(now)
        if self.misfire == "skip" and now - latest > late:
            self.next_run_at = self.schedule.next_after(now)
            return None
        return latest

    def take(self, tick_at: datetime) -> bool:
        """Whether the tick is ours to serve; its job is enqueued in the same step. Blocks.

        Raises:
            JobsError: as :meth:`~svcjobs.queue.JobQueue.claim_tick`.
        """
        if queue := self.claiming_queue:
            return queue.claim_tick(self.name, tick_at.timestamp(), self.job) is not None
        if self.queue and self.job:
            self.queue.enqueue_many([self.job])
        return True

    def served(self, tick_at: datetime) -> None:
        """The tick was taken, here or elsewhere."""
        self.next_run_at = self.schedule.next_after(tick_at)

    def locate(self, last_tick_at: datetime | None) -> None:
        """Go on after the last tick that the queue knows; None when it knows none."""
        self.located = True
        if last_tick_at is not None:
            self.next_run_at = self.schedule.next_after(last_tick_at)

    def clock_is_ahead(self, server_now: datetime) -> None:
        """The tick was refused because it lies ahead: go on with what is due by the server's clock."""
        self.next_run_at = min(self.next_run_at, first_run_at(self.schedule, server_now))

    def hold(self, seconds: float) -> None:
        """Leave it alone for ``seconds``."""
        self.retry_at = time.monotonic() + seconds

    def clock_went_back(self, now: datetime, by: timedelta) -> None:
        """Wait for no more than one interval, and run no cron tick twice.

        Ticks that are claimed stay as they are: the queue hands out none again.
        """
        if self.claiming_queue is not None:
            return
        if not isinstance(self.schedule, Cron):
            self.next_run_at = min(self.next_run_at, first_run_at(self.schedule, now))
        elif by > _CORRECTION:
            self.next_run_at = first_run_at(self.schedule, now)


def schedule_of(
    interval_seconds: float | None, cron: str | None, timezone: str | None, tick_interval: float
) -> Schedule:
    """The schedule that the arguments of :meth:`~svcjobs.scheduler.InMemoryScheduler.add` describe.

    Raises:
        ConfigurationError: there isn't exactly one of interval and cron, or it can't be used.
    """
    if (interval_seconds is None) == (cron is None):
        raise ConfigurationError("give exactly one of interval_seconds or cron")
    if cron is not None:
        return Cron(cron, timezone or "UTC")
    if timezone is not None:
        raise ConfigurationError("timezone goes with cron: an interval has none")
    return EachTick(tick_interval) if interval_seconds == 0 else Every(interval_seconds or 0)


def first_run_at(schedule: Schedule, now: datetime) -> datetime:
    """When a schedule that begins now ticks first; a cron tick at this very moment counts."""
    now = in_utc(now)
    if isinstance(schedule, Every):
        return schedule.next_after(now)
    if isinstance(schedule, EachTick):
        return now
    return schedule.next_after(now - _MICROSECOND)
