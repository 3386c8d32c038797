"""Entries, ticks and misfires."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from svcjobs.errors import ConfigurationError, InvalidJob
from svcjobs.scheduled_task import Misfire
from svcjobs.scheduler import InMemoryScheduler
from tests.unit.scheduler.doubles import NOON, Clock, FlakyQueue, Ran, later


class TestAdding:
    def test_an_entry_has_one_schedule_and_one_thing_to_do(self, queue: FlakyQueue) -> None:
        scheduler = InMemoryScheduler(queue=queue)
        add = partial(scheduler.add, "bad")
        for wrong in (
            {"func": Ran()},
            {"func": Ran(), "interval_seconds": 60, "cron": "0 * * * *"},
            {},
        ):
            with pytest.raises(ConfigurationError, match="exactly one of interval_seconds or cron"):
                add(**wrong)
        for wrong in ({}, {"func": Ran(), "job_name": "j"}, {"target": "json:loads", "func": Ran()}):
            with pytest.raises(ValueError, match="exactly one of func, target, or job_name"):
                add(interval_seconds=60, **wrong)
        assert scheduler.tasks == []

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"func": 5, "interval_seconds": 1}, "can't be called"),
            ({"func": Ran(), "interval_seconds": -1}, "interval is -1"),
            ({"func": Ran(), "interval_seconds": 1, "timezone": "UTC"}, "timezone goes with cron"),
            ({"func": Ran(), "interval_seconds": 1, "payload": {}}, "payload and job_queue go with job_name"),
            ({"func": Ran(), "interval_seconds": 1, "misfire": "maybe"}, "use one of skip, once, all"),
            ({"job_name": "j", "interval_seconds": 1}, "has no queue"),
        ],
    )
    def test_what_cant_be_used_is_refused(self, options: dict[str, object], says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            InMemoryScheduler().add("bad", **options)

    def test_a_name_is_taken_once(self) -> None:
        scheduler = InMemoryScheduler()
        scheduler.add_task("a", 5, Ran())
        with pytest.raises(ConfigurationError, match="name is 'a'"):
            scheduler.add_task("a", 5, Ran())

    @pytest.mark.parametrize("name", ["", None, 5, "a\n", "\ud800"])
    def test_a_name_is_text_that_redis_can_hold(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="name is"):
            InMemoryScheduler().add_task(name, 5, Ran())

    def test_a_payload_that_json_cant_hold_is_refused_at_once(self, queue: FlakyQueue) -> None:
        with pytest.raises(InvalidJob):
            InMemoryScheduler().add_job("a", job_queue=queue, job_name="j", interval_seconds=1, payload={"x": object()})

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
    def test_the_tick_interval_is_positive(self, seconds: float) -> None:
        with pytest.raises(ConfigurationError, match="tick_interval"):
            InMemoryScheduler(tick_interval=seconds)


class TestTick:
    async def test_interval_0_runs_at_each_tick(self) -> None:
        ran, scheduler = Ran(), InMemoryScheduler()
        scheduler.add_task("t1", interval_seconds=0, func=ran)
        await scheduler.tick()
        await scheduler.tick()
        assert len(ran) == 2

    async def test_interval_0_enqueues_at_each_tick(self, queue: FlakyQueue, clock: Clock) -> None:
        scheduler = InMemoryScheduler(now_provider=clock)
        scheduler.add_job("a", job_queue=queue, job_name="send", interval_seconds=0, payload={"n": 1})
        await scheduler.tick()
        await scheduler.tick()
        assert [(job.name, job.payload) for job in queue.reserve_many(5)] == [("send", {"n": 1})] * 2

    async def test_an_interval_ticks_at_its_multiples(self, clock: Clock) -> None:
        clock.advance(7)
        ran, scheduler = Ran(), InMemoryScheduler(now_provider=clock)
        scheduler.add_task("a", 60, ran)
        assert scheduler._tasks["a"].next_run_at == NOON + timedelta(seconds=60)
        await later(scheduler, clock, 52)
        assert len(ran) == 0
        await later(scheduler, clock, 1)
        assert len(ran) == 1
        await later(scheduler, clock, 0)
        assert len(ran) == 1
        assert scheduler._tasks["a"].next_run_at == NOON + timedelta(seconds=120)

    async def test_a_cron_tick_at_this_moment_is_due(self) -> None:
        now = datetime(2026, 3, 29, 9, 0, tzinfo=UTC)
        ran, scheduler = Ran(), InMemoryScheduler(now_provider=lambda: now)
        scheduler.add_cron("daily", "0 9 * * *", ran)
        await scheduler.tick(now=now)
        assert len(ran) == 1
        assert scheduler._tasks["daily"].next_run_at == datetime(2026, 3, 30, 9, 0, tzinfo=UTC)

    async def test_cron_in_a_time_zone(self) -> None:
        ran, scheduler = Ran(), InMemoryScheduler(now_provider=lambda: datetime(2026, 3, 30, 12, 59, tzinfo=UTC))
        scheduler.add_cron("open", "0 9 * * mon-fri", ran, timezone="America/New_York")
        await scheduler.tick()
        assert len(ran) == 0
        await scheduler.tick(now=datetime(2026, 3, 30, 13, 0, tzinfo=UTC))
        assert len(ran) == 1

    async def test_functions_are_awaited_or_run_in_a_thread(self) -> None:
        threads: dict[str, int] = {}

        def plain() -> None:
            threads["plain"] = threading.get_ident()

        async def coroutine() -> None:
            await asyncio.sleep(0)
            threads["async"] = threading.get_ident()

        scheduler = InMemoryScheduler()
        scheduler.add_task("plain", 0, plain)
        scheduler.add_task("async", 0, coroutine)
        scheduler.add_task("lambda", 0, lambda: coroutine())
        scheduler.add("target", target="asyncio:get_running_loop", interval_seconds=0)  # raises outside of a loop
        await scheduler.tick()
        assert threads["async"] == threading.get_ident() != threads["plain"]
        assert [task.failures for task in scheduler.tasks] == [0, 0, 0, 1]

    async def test_a_task_that_raises_is_logged_counted_and_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        async def broken() -> None:
            raise ValueError("no luck")

        ran, scheduler = Ran(), InMemoryScheduler()
        scheduler.add_task("broken", 0, broken)
        scheduler.add_task("fine", 0, ran)
        await scheduler.tick()
        await scheduler.tick()
        assert [(task.runs, task.failures) for task in scheduler.tasks] == [(2, 2), (2, 0)]
        (record, _) = caplog.records
        assert record.levelno == logging.ERROR
        assert "scheduled task broken" in record.message
        assert "no luck" in str(record.exc_text)


class TestMisfire:
    """A minute's interval, 5 ticks missed, looked at 5 s after the last of them."""

    @pytest.mark.parametrize(
        ("misfire", "expected"), [("once", [300]), ("all", [60, 120, 180, 240, 300]), ("skip", [300])]
    )
    @pytest.mark.parametrize("restart", [False, True])
    async def test_missed_ticks(
        self, queue: FlakyQueue, clock: Clock, misfire: Misfire, expected: list[float], restart: bool
    ) -> None:
        def start() -> InMemoryScheduler:
            scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
            scheduler.add("job", job_name="j", interval_seconds=60, misfire=misfire)
            scheduler.add("function", func=ran, interval_seconds=60, misfire=misfire)
            return scheduler

        ran = Ran()
        clock.advance(-30)
        scheduler = start()
        await later(scheduler, clock, 30)
        clock.advance(305)
        await (start() if restart else scheduler).tick()
        for name in ("job", "function"):
            assert [at for taken, at in queue.taken if taken == name] == [0, *expected]
        assert len(queue.reserve_many(10)) == len(ran) == 1 + len(expected)

    async def test_skip_leaves_out_what_is_later_than_the_tick_interval(self, queue: FlakyQueue, clock: Clock) -> None:
        scheduler = InMemoryScheduler(tick_interval=4, now_provider=clock, queue=queue)
        scheduler.add("job", job_name="j", interval_seconds=60, misfire="skip")
        await later(scheduler, clock, 64)
        await later(scheduler, clock, 61)
        assert queue.taken == [("job", 60)]
        assert scheduler._tasks["job"].next_run_at == NOON + timedelta(seconds=180)

    @pytest.mark.parametrize(("misfire", "runs"), [("once", 1), ("all", 5), ("skip", 1)])
    async def test_without_a_queue(self, clock: Clock, misfire: Misfire, runs: int) -> None:
        ran, scheduler = Ran(), InMemoryScheduler(now_provider=clock)
        scheduler.add("function", func=ran, interval_seconds=60, misfire=misfire)
        await later(scheduler, clock, 305)
        assert len(ran) == runs

    async def test_a_cron_tick_missed_over_a_restart_is_made_up_for(self, queue: FlakyQueue, clock: Clock) -> None:
        for days in (0, 3):
            clock.advance(days * 86400)
            scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
            scheduler.add("daily", job_name="j", cron="0 12 * * *")
            await later(scheduler, clock, 60)
        assert queue.taken == [("daily", 0), ("daily", 3 * 86400)]

    async def test_a_new_entry_has_missed_nothing(self, queue: FlakyQueue, clock: Clock) -> None:
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add("new", job_name="j", cron="0 9 * * *", misfire="all")
        await scheduler.tick()
        assert queue.taken == []

    async def test_the_latest_of_very_many_is_found_at_once(self, queue: FlakyQueue, clock: Clock) -> None:
        queue._clock = lambda: clock().timestamp()  # it takes no tick of its future
        scheduler = InMemoryScheduler(now_provider=clock, queue=queue)
        scheduler.add("minutely", job_name="j", cron="* * * * *")
        begun = time.process_time()
        await later(scheduler, clock, 10 * 365 * 86400)
        assert queue.taken == [("minutely", 10 * 365 * 86400)]
        assert time.process_time() - begun < 1
