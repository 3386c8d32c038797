"""Several schedulers, leaders, and a queue that is away."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduled_task import Misfire
from svcjobs.scheduler import InMemoryScheduler
from tests.eventually import eventually_async
from tests.unit.scheduler.doubles import NOON, Clock, FlakyQueue, Leader, Ran, later


@pytest.mark.promise("P8")
class TestSeveralSchedulers:
    async def test_each_tick_is_served_once(self, queue: FlakyQueue, clock: Clock) -> None:
        ran, schedulers = Ran(), [InMemoryScheduler(now_provider=clock, queue=queue) for _ in range(3)]
        for scheduler in schedulers:
            scheduler.add("job", job_name="j", interval_seconds=10)
            scheduler.add_task("function", 10, ran)
        for _ in range(5):
            clock.advance(10)
            await asyncio.gather(*(scheduler.tick() for scheduler in schedulers))
        assert sorted(queue.taken) == [(name, at) for name in ("function", "job") for at in (10, 20, 30, 40, 50)]
        assert len(queue.reserve_many(20)) == len(ran) == 5

    async def test_one_that_was_stopped_asks_where_the_others_are(self, queue: FlakyQueue, clock: Clock) -> None:
        stopped, other = (InMemoryScheduler(now_provider=clock, queue=queue) for _ in range(2))
        for scheduler in (stopped, other):
            scheduler.add("job", job_name="j", interval_seconds=1, misfire="all")
        await later(stopped, clock, 1)
        for _ in range(300):
            await later(other, clock, 1)
        queue.calls = 0
        await later(stopped, clock, 1)
        assert [at for _, at in queue.taken] == list(range(1, 303))
        assert queue.calls <= 4

    async def test_a_function_isnt_called_when_its_tick_cant_be_claimed(self, queue: FlakyQueue, clock: Clock) -> None:
        ran, scheduler = Ran(), InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add_task("function", 10, ran)
        queue.away = True
        await later(scheduler, clock, 10)
        assert len(ran) == 0


def test_many_entries_that_are_due_together_dont_crowd_the_server(clock: Clock) -> None:
    inside, most = threading.Semaphore(0), 0

    class SlowQueue(FlakyQueue):
        def _call(self) -> None:
            nonlocal most
            inside.release()
            most = max(most, inside._value)
            time.sleep(0.002)
            inside.acquire()

    queue = SlowQueue()
    scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
    for number in range(100):
        scheduler.add(f"job{number}", job_name="j", interval_seconds=10)
    for _ in range(2):  # each in a loop of its own
        clock.advance(10)
        asyncio.run(scheduler.tick())
    assert len(queue.taken) == 200
    assert 2 <= most <= 8


@pytest.mark.scenario(33)
class TestQueueAway:
    @pytest.mark.parametrize(("misfire", "expected"), [("once", [30]), ("all", [10, 20, 30]), ("skip", [30])])
    async def test_the_schedule_goes_on_when_it_is_back(
        self, queue: FlakyQueue, clock: Clock, caplog: pytest.LogCaptureFixture, misfire: Misfire, expected: list[int]
    ) -> None:
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add("job", job_name="j", interval_seconds=10, misfire=misfire)
        queue.away = True
        for _ in range(3):
            await later(scheduler, clock, 10)
        assert len(caplog.records) == 1  # once per outage, not per try
        queue.away = False
        await later(scheduler, clock, 0)
        assert [at for _, at in queue.taken] == expected

    async def test_last_tick_at_grows_old_meanwhile(self, queue: FlakyQueue, clock: Clock) -> None:
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add("job", job_name="j", interval_seconds=10)
        assert scheduler.last_tick_at is None
        await later(scheduler, clock, 5)
        assert scheduler.last_tick_at == clock.now
        queue.away = True
        for _ in range(3):
            await later(scheduler, clock, 10)
        assert scheduler.last_tick_at == NOON + timedelta(seconds=15)
        queue.away = False
        await later(scheduler, clock, 10)
        await later(scheduler, clock, 1)
        assert scheduler.last_tick_at == clock.now

    async def test_an_entry_without_it_isnt_held_up(self, queue: FlakyQueue, clock: Clock) -> None:
        ran, scheduler = Ran(), InMemoryScheduler(now_provider=clock)
        scheduler.add_job("job", job_queue=queue, job_name="j", interval_seconds=10)
        scheduler.add_task("function", 10, ran)
        queue.away = True
        await later(scheduler, clock, 10)
        assert len(ran) == 1

    async def test_a_job_that_the_queue_refuses_doesnt_stop_the_schedule(self, clock: Clock) -> None:
        queue = InMemoryJobQueue(max_payload_bytes=10)
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add("job", job_name="j", interval_seconds=10, payload={"text": "x" * 100})
        await later(scheduler, clock, 10)
        assert scheduler._tasks["job"].failures == 1
        assert scheduler._tasks["job"].next_run_at == NOON + timedelta(seconds=20)


class TestLeadership:
    async def test_only_the_leader_serves(self) -> None:
        ran, leader = Ran(), Leader(leads=False)
        scheduler = InMemoryScheduler(leader=leader)
        assert scheduler._leader is leader
        scheduler.add_task("a", 0, ran)
        await scheduler.tick()
        assert len(ran) == 0
        leader.leads = True
        await scheduler.tick()
        assert len(ran) == 1

    async def test_it_is_renewed_while_a_task_runs(self) -> None:
        leader = Leader()
        scheduler = InMemoryScheduler(leader=leader)
        scheduler.add_task("long", 0, lambda: eventually_async(lambda: leader.asked >= 3))
        await scheduler.tick()
        assert scheduler._tasks["long"].failures == 0

    async def test_who_takes_over_goes_on_after_the_last_leader(self, queue: FlakyQueue, clock: Clock) -> None:
        first, second = Leader(), Leader(leads=False)
        old, new = (InMemoryScheduler(now_provider=clock, queue=queue, leader=leader) for leader in (first, second))
        for scheduler in (old, new):
            scheduler.add("job", job_name="j", interval_seconds=10, misfire="all")
        for _ in range(3):
            await later(old, clock, 10)
            await new.tick()
        first.leads, second.leads = False, True
        await later(new, clock, 25)
        assert [at for _, at in queue.taken] == [10, 20, 30, 40, 50]

    @pytest.mark.parametrize("led_before", [False, True])
    async def test_ticks_that_nobody_served_are_made_up_for(
        self, queue: FlakyQueue, clock: Clock, led_before: bool
    ) -> None:
        leader = Leader(leads=led_before)
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue, leader=leader)
        scheduler.add("job", job_name="j", interval_seconds=10, misfire="all")
        await later(scheduler, clock, 10)
        leader.leads = False
        await later(scheduler, clock, 20)
        leader.leads = True
        await later(scheduler, clock, 10)
        assert [at for _, at in queue.taken] == [10, 20, 30, 40]

    async def test_without_a_queue_missed_ticks_are_the_leaders(self, clock: Clock) -> None:
        ran, leader = Ran(), Leader(leads=False)
        scheduler = InMemoryScheduler(now_provider=clock, leader=leader)
        scheduler.add("a", func=ran, interval_seconds=10, misfire="all")
        await later(scheduler, clock, 30)
        leader.leads = True
        await later(scheduler, clock, 10)
        assert len(ran) == 1

    async def test_ticks_wait_while_nobody_can_tell_who_leads(self, clock: Clock) -> None:
        ran, leader = Ran(), Leader(leads=None)
        scheduler = InMemoryScheduler(now_provider=clock, leader=leader)
        scheduler.add("a", func=ran, interval_seconds=10, misfire="all")
        await later(scheduler, clock, 30)
        assert len(ran) == 0
        leader.leads = True
        await later(scheduler, clock, 10)
        assert len(ran) == 4

    async def test_run_releases_it_at_the_end(self) -> None:
        leader, ran = Leader(), Ran()
        scheduler = InMemoryScheduler(leader=leader)
        scheduler.add_task("a", 0, ran)
        running = asyncio.create_task(scheduler.run())
        await eventually_async(lambda: ran)
        assert leader.released == 0
        scheduler.stop()
        await running
        assert leader.released == 1

    async def test_a_follower_releases_nothing(self) -> None:
        leader = Leader(leads=False)
        scheduler = InMemoryScheduler(leader=leader)
        scheduler.add_task("a", 0, Ran())
        running = asyncio.create_task(scheduler.run())
        await eventually_async(lambda: leader.asked)
        scheduler.stop()
        await running
        assert leader.released == 0
