"""Clocks, queues and leaders that tests of the scheduler control."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job, NewJob
from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduler import InMemoryScheduler

NOON = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)


class Clock:
    """A wall clock that stands until it is set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


class Ran(list[str]):
    """Records calls."""

    def __call__(self) -> None:
        self.append("ran")


class FlakyQueue(InMemoryJobQueue):
    """A queue whose server can be away; keeps which ticks were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.taken: list[tuple[str, float]] = []
        self.calls = 0

    def claim_tick(self, name: str, tick_at: float, job: NewJob | None = None) -> Job | None:
        self._call()
        claimed = super().claim_tick(name, tick_at, job)
        if claimed is not None:
            self.taken.append((name, tick_at - NOON.timestamp()))
        return claimed

    def last_tick(self, name: str) -> float | None:
        self._call()
        return super().last_tick(name)

    def _call(self) -> None:
        self.calls += 1
        if self.away:
            raise QueueUnavailable("the Redis server can't be reached")


class Leader:
    """A leadership that is set by hand; None is a server that doesn't answer."""

    heartbeat_interval_seconds = 0.01

    def __init__(self, leads: bool | None = True) -> None:
        self.leads = leads
        self.asked = 0
        self.released = 0

    def ensure_leader(self) -> bool:
        self.asked += 1
        if self.leads is None:
            raise QueueUnavailable("the Redis server can't be reached")
        return self.leads

    def release(self) -> None:
        self.released += 1


async def later(scheduler: InMemoryScheduler, clock: Clock, seconds: float) -> None:
    clock.advance(seconds)
    await scheduler.tick()
