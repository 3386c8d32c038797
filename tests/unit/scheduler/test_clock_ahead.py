"""A scheduler whose clock runs ahead by an hour: ticks come when they are due, once, and none is left out."""

from __future__ import annotations

import logging

import pytest

from svcjobs.clock import MovableClock
from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduled_task import Misfire
from svcjobs.scheduler import InMemoryScheduler
from tests.unit.scheduler.doubles import NOON, Clock


class TickLog(InMemoryJobQueue):
    """A queue with a right clock that notes which ticks were taken, and when, in seconds from noon."""

    def __init__(self, clock: MovableClock) -> None:
        super().__init__(clock=clock)
        self.taken: list[tuple[float, float]] = []

    def claim_tick(self, name, tick_at, job=None):  # type: ignore[no-untyped-def]  # as the base class has it
        claimed = super().claim_tick(name, tick_at, job)
        if claimed is not None:
            self.taken.append((tick_at - NOON.timestamp(), self._clock() - NOON.timestamp()))
        return claimed


class Times:
    """The queue's time, and that of a scheduler, an hour later."""

    def __init__(self) -> None:
        self.right = MovableClock(NOON.timestamp() + 30)
        self.ahead = Clock()
        self.ahead.advance(3630)
        self.queue = TickLog(self.right)

    def scheduler(self, misfire: Misfire = "once") -> InMemoryScheduler:
        scheduler = InMemoryScheduler(queue=self.queue, now_provider=self.ahead)
        scheduler.add("s", job_name="job", interval_seconds=600, misfire=misfire)
        return scheduler

    async def pass_by(self, seconds: float, *schedulers: InMemoryScheduler) -> None:
        for _ in range(int(seconds / 30)):
            self.right.advance(30)
            self.ahead.advance(30)
            for scheduler in schedulers:
                await scheduler.tick()


@pytest.mark.parametrize("misfire", ["once", "all"])
async def test_alone_it_serves_each_tick_at_the_right_time(misfire: Misfire) -> None:
    times = Times()
    scheduler = times.scheduler(misfire)
    await times.pass_by(2 * 3600, scheduler)
    ticks = [tick for tick, _ in times.queue.taken]
    assert ticks[-1] == 7200
    assert ticks == [600.0 * n for n in range(int(ticks[0] / 600), 13)]
    assert ticks[0] <= 1200  # the first look at the clock of the server comes with the first tick of the own one
    assert all(-60 <= at - tick <= 60 for tick, at in times.queue.taken)
    assert times.queue.stats().ready == len(ticks)


@pytest.mark.parametrize("misfire", ["once", "all"])
async def test_after_a_restart_it_goes_on_where_the_queue_is(misfire: Misfire) -> None:
    times = Times()
    times.queue.claim_tick("s", NOON.timestamp())
    await times.pass_by(3600, times.scheduler(misfire))
    assert [tick for tick, _ in times.queue.taken] == [600.0 * n for n in range(7)]


async def test_it_keeps_no_tick_from_others() -> None:
    times = Times()
    wrong = times.scheduler()
    right = InMemoryScheduler(queue=times.queue, now_provider=lambda: NOON.fromtimestamp(times.right(), NOON.tzinfo))
    right.add("s", job_name="job", interval_seconds=600)
    await times.pass_by(3600, wrong, right)
    assert [tick for tick, _ in times.queue.taken] == [600.0 * n for n in range(1, 7)]
    assert times.queue.stats().ready == 6


async def test_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    times = Times()
    scheduler = times.scheduler()
    await times.pass_by(1800, scheduler)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "runs ahead by" in record.getMessage()
    assert "NTP" in record.getMessage()
    times.ahead.advance(-3600)  # somebody set it
    await times.pass_by(1200, scheduler)
    assert [tick for tick, _ in times.queue.taken][-1] == 3000
