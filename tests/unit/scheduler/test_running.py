"""Clock steps, and the life of run()."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduler import InMemoryScheduler
from tests.eventually import eventually_async
from tests.unit.scheduler.doubles import Clock, FlakyQueue, Leader, Ran, later


@pytest.mark.scenario(33)
class TestClockSteps:
    @pytest.fixture
    def scheduler(self, clock: Clock) -> InMemoryScheduler:
        return InMemoryScheduler(now_provider=clock)

    async def test_forward_is_a_misfire(self, scheduler: InMemoryScheduler, clock: Clock) -> None:
        ran = Ran()
        scheduler.add_task("a", 60, ran)
        await later(scheduler, clock, 86400)
        assert len(ran) == 1
        assert scheduler._tasks["a"].next_run_at == clock.now + timedelta(seconds=60)

    async def test_run_sees_a_step_though_it_slept_until_later(
        self, scheduler: InMemoryScheduler, clock: Clock
    ) -> None:
        ran = Ran()
        scheduler.add_task("a", 3600, ran)
        running = asyncio.create_task(scheduler.run())
        await eventually_async(lambda: scheduler.last_tick_at)
        clock.advance(3600)
        await eventually_async(lambda: ran)
        scheduler.stop()
        await running

    async def test_an_interval_goes_on_after_the_clock_was_set_back(
        self, scheduler: InMemoryScheduler, clock: Clock
    ) -> None:
        ran = Ran()
        scheduler.add_task("a", 60, ran)
        await later(scheduler, clock, 60)
        await later(scheduler, clock, -3600)
        await later(scheduler, clock, 60)
        assert len(ran) == 2

    async def test_a_cron_tick_isnt_repeated_after_a_small_step_back(
        self, scheduler: InMemoryScheduler, clock: Clock
    ) -> None:
        ran = Ran()
        scheduler.add_cron("a", "0 12 * * *", ran)
        await scheduler.tick()
        await later(scheduler, clock, -600)
        await later(scheduler, clock, 1200)
        assert len(ran) == 1

    async def test_more_than_three_hours_back_are_a_correction(
        self, scheduler: InMemoryScheduler, clock: Clock
    ) -> None:
        ran = Ran()
        scheduler.add_cron("a", "0 12 * * *", ran)
        await later(scheduler, clock, 400 * 86400)
        await later(scheduler, clock, -400 * 86400 - 60)
        await later(scheduler, clock, 60)
        assert len(ran) == 2

    async def test_ticks_that_were_claimed_are_never_repeated(self, queue: FlakyQueue, clock: Clock) -> None:
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add("a", job_name="j", interval_seconds=60)
        await later(scheduler, clock, 120)
        asked = queue.calls
        for seconds in (-90, 60):
            await later(scheduler, clock, seconds)
        assert queue.calls == asked
        await later(scheduler, clock, 90)
        assert [at for _, at in queue.taken] == [120, 180]

    async def test_ticks_taken_by_a_clock_that_was_ahead_are_told(
        self, queue: FlakyQueue, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        queue.claim_tick("a", clock.advance(7200).timestamp())
        scheduler = InMemoryScheduler(now_provider=Clock(), queue=queue)
        scheduler.add("a", job_name="j", interval_seconds=60)
        await scheduler.tick()
        assert "schedule a waits until 2024-05-06 14:01:00+00:00" in caplog.text


class TestRun:
    """On the real clock."""

    async def run(self, scheduler: InMemoryScheduler, until: Callable[[], object]) -> None:
        running = asyncio.create_task(scheduler.run())
        try:
            await eventually_async(until)
        finally:
            scheduler.stop()
            await running

    @pytest.mark.alone
    async def test_what_is_due_sooner_than_the_tick_interval_is_on_time(self) -> None:
        late: list[float] = []
        scheduler = InMemoryScheduler(tick_interval=60)
        scheduler.add_task("a", 0.2, lambda: late.append(time.time() % 0.2))
        await self.run(scheduler, lambda: len(late) >= 5)
        assert sorted(late)[2] < 0.1

    async def test_interval_0_runs_each_tick_interval(self) -> None:
        times: list[float] = []
        scheduler = InMemoryScheduler(tick_interval=0.2)
        scheduler.add_task("a", 0, lambda: times.append(time.monotonic()))
        began = time.monotonic()
        await self.run(scheduler, lambda: len(times) >= 4)
        # from the start, not from run to run: on a busy machine one run may be late and the next on time
        assert times[3] - began > 0.55

    async def test_a_long_task_delays_no_other_and_doesnt_overlap_itself(self) -> None:
        end, inside, most, ran = asyncio.Event(), 0, 0, Ran()

        async def long() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await end.wait()
            inside -= 1

        blocked = threading.Event()
        scheduler = InMemoryScheduler()
        scheduler.add_task("long", 0.05, long)
        for number in range(40):  # more than a default executor has threads
            scheduler.add_task(f"blocked{number}", 0.05, blocked.wait)
        scheduler.add_task("short", 0.05, ran)
        try:
            await self.run(scheduler, lambda: len(ran) >= 5 and not blocked.set() and not end.set())
        finally:
            blocked.set()
        assert most == 1

    async def test_a_task_that_overran_runs_again_when_it_ends(self) -> None:
        starts: list[float] = []

        async def slow() -> None:
            starts.append(time.monotonic())
            await asyncio.sleep(0.12)

        scheduler = InMemoryScheduler()
        scheduler.add_task("slow", 0.05, slow)
        await self.run(scheduler, lambda: len(starts) >= 6)
        # at once, not at the next look at the clock; the machine may have stood still between two of them
        assert sorted(after - before for before, after in pairwise(starts))[2] < 0.33

    async def test_stop_waits_for_what_runs(self) -> None:
        started, ended = Ran(), Ran()

        async def task() -> None:
            started()
            await asyncio.sleep(0.2)
            ended()

        scheduler = InMemoryScheduler()
        scheduler.add_task("a", 0, task)
        await self.run(scheduler, lambda: started)
        assert len(started) == len(ended) == 1

    async def test_stop_cancels_what_outlives_its_grace(self) -> None:
        started, cancelled = Ran(), Ran()

        async def task() -> None:
            started()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled()
                raise

        scheduler = InMemoryScheduler()
        scheduler.add_task("a", 0, task)
        running = asyncio.create_task(scheduler.run())
        await eventually_async(lambda: started)
        stopping = threading.Thread(target=scheduler.stop, kwargs={"grace_seconds": 0.05})
        stopping.start()
        await asyncio.wait_for(running, 20)
        stopping.join()
        assert cancelled

    async def test_stop_before_run_is_remembered(self) -> None:
        scheduler = InMemoryScheduler()
        scheduler.stop()
        await asyncio.wait_for(scheduler.run(), 20)

    async def test_a_cancelled_run_ends_its_tasks_and_the_leadership(self) -> None:
        started, leader = Ran(), Leader()

        async def task() -> None:
            started()
            await asyncio.sleep(60)

        scheduler = InMemoryScheduler(leader=leader)
        scheduler.add_task("a", 0, task)
        running = asyncio.create_task(scheduler.run())
        await eventually_async(lambda: started)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert leader.released == 1
        assert scheduler._running == []

    async def test_two_runs_at_once_are_refused(self) -> None:
        scheduler = InMemoryScheduler()
        running = asyncio.create_task(scheduler.run())
        await eventually_async(lambda: scheduler.last_tick_at)
        with pytest.raises(RuntimeError, match="runs already"):
            await scheduler.run()
        scheduler.stop()
        await running

    @pytest.mark.alone
    async def test_stop_wakes_it_up(self) -> None:
        took: list[float] = []
        for _ in range(3):
            scheduler = InMemoryScheduler()
            running = asyncio.create_task(scheduler.run())
            await eventually_async(lambda scheduler=scheduler: scheduler.last_tick_at)  # type: ignore[misc]
            begun = time.monotonic()
            scheduler.stop()
            await running
            took.append(time.monotonic() - begun)
        assert min(took) < 0.4, took

    async def test_a_queue_that_is_away_is_asked_about_once_a_second(self, queue: FlakyQueue) -> None:
        scheduler = InMemoryScheduler(queue=queue)
        scheduler.add("job", job_name="j", interval_seconds=0.01)
        scheduler.add_job("other", job_queue=InMemoryJobQueue(), job_name="j", interval_seconds=0.01)
        queue.away = True
        begun = time.monotonic()
        await self.run(scheduler, lambda: queue.calls >= 3)
        assert time.monotonic() - begun > 1.4
