"""Leases that are kept or lost, and queues that go away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from svcjobs import pipeline
from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.memory_server import MemoryServer
from svcjobs.runner import WorkerRunner
from svcjobs.settlement import Outcome, Settlement
from tests.eventually import eventually_async
from tests.unit.runner.running import running, sleeps


@pytest.mark.promise("P4")
@pytest.mark.parametrize("blocks", [False, True], ids=["a sleeping handler", "a handler that blocks the loop"])
async def test_a_live_job_is_never_redelivered(blocks: bool) -> None:
    queue = InMemoryJobQueue(visibility_timeout=2.5)
    starts: list[str] = []

    async def handler(job: Job) -> None:
        starts.append(job.id)
        if blocks:
            time.sleep(5)  # noqa: ASYNC251 - that is the point
        else:
            await asyncio.sleep(5)

    queue.enqueue("long", {})
    async with running(queue, handler, concurrency=2, poll_interval=0.01):
        await eventually_async(lambda: queue.stats().totals["acked"] == 1)
    assert starts == ["1"]
    assert (queue.stats().totals["reclaimed"], queue.stats().totals["stale"]) == (0, 0)


async def test_a_job_whose_answer_the_blocked_loop_reads_late_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # late after 0.4 s, and yet far from the end of the lease, after which the job would be charged
    monkeypatch.setattr("svcjobs.leases.LATE_SHARE", 0.02)
    queue = InMemoryJobQueue(visibility_timeout=20)
    starts: list[tuple[str, int]] = []
    blocked = threading.Event()
    reserve = queue.reserve_many

    def reserve_many(limit: int, **options: Any) -> list[Job]:
        jobs = reserve(limit, **options)
        if any(job.name == "second" for job in jobs) and not blocked.is_set():
            blocked.wait(10)  # the answer is on its way when the first handler blocks the loop
        return jobs

    async def handler(job: Job) -> None:
        starts.append((job.name, job.attempts))
        if job.name == "first":
            await eventually_async(lambda: queue.stats().in_flight == 2)
            blocked.set()
            time.sleep(0.5)  # noqa: ASYNC251 - that is the point

    monkeypatch.setattr(queue, "reserve_many", reserve_many)
    queue.enqueue("first")
    async with running(queue, handler, concurrency=2, poll_interval=0.01):
        await eventually_async(lambda: starts)
        queue.enqueue("second")
        await eventually_async(lambda: queue.stats().totals["acked"] == 2)
    assert starts == [("first", 1), ("second", 1)]
    assert queue.stats().totals["released"] == 1


async def test_leases_of_settled_jobs_are_extended_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = InMemoryJobQueue(visibility_timeout=0.3)
    extended: list[str] = []
    extend = queue.extend_many

    def extend_many(jobs: Sequence[Job]) -> list[Outcome]:
        extended.extend(job.id for job in jobs)
        return extend(jobs)

    monkeypatch.setattr(queue, "extend_many", extend_many)
    for _ in range(20):
        queue.enqueue("short", {"seconds": 0})
    async with running(queue, sleeps, concurrency=4):
        await eventually_async(lambda: queue.stats().totals["acked"] == 20)
        queue.enqueue("long", {})
        await eventually_async(lambda: extended.count("21") > 1)
        extended.clear()  # a short one may have needed it, on a busy machine
        await eventually_async(lambda: extended.count("21") > 3)
    assert set(extended) == {"21"}


@pytest.mark.scenario(5)
async def test_a_handler_whose_lease_is_lost_is_cancelled_and_does_not_settle(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MemoryServer()
    queue = InMemoryJobQueue(server=server, visibility_timeout=0.3)
    elsewhere = InMemoryJobQueue(server=server)
    other: list[Job] = []
    ended: list[str] = []

    async def handler(job: Job) -> None:
        queue.release(job)
        other.append(elsewhere.reserve_next())  # type: ignore[arg-type]  # the job is there
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(job.id)

    queue.enqueue("long", {})
    async with running(queue, handler):
        await eventually_async(lambda: ended)
        await eventually_async(lambda: "lease of job 1" in caplog.text)
    assert queue.stats().totals["stale"] == 1
    elsewhere.ack(other[0])


# a queue that fails


class Flaky(InMemoryJobQueue):
    """A queue that is away, or refuses a settlement, when it is told so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error: Exception | None = None
        self.refused: str | None = None
        self.calls = 0

    def _check(self) -> None:
        self.calls += 1
        if self.error:
            raise self.error

    def reserve_many(self, limit: int, **options: bool) -> list[Job]:
        self._check()
        return super().reserve_many(limit, **options)

    def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        self._check()
        if any(settlement.job.name == self.refused for settlement in settlements):
            raise ValueError("a bad settlement")
        return super().settle_many(settlements)

    def wait(self, seconds: float) -> None:
        if self.error:
            raise self.error
        super().wait(seconds)


@pytest.mark.alone
@pytest.mark.promise("P10")
@pytest.mark.parametrize("error", [QueueUnavailable("away"), RuntimeError("a bug")])
async def test_a_runner_survives_an_outage_says_so_once_and_resumes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Flaky()
    done = 0

    async def handler(job: Job) -> None:
        nonlocal done
        done += 1

    with caplog.at_level(logging.WARNING):
        async with running(queue, handler, poll_interval=0.01):
            await eventually_async(lambda: queue.calls)
            queue.error = error
            queue.enqueue("add", {})
            before = queue.calls
            await eventually_async(lambda: queue.calls > before + 4)
            queue.error = None
            began = time.monotonic()
            await eventually_async(lambda: queue.stats().totals["acked"] == 1)
            assert time.monotonic() - began < 5
    assert done == 1
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(",")[0].split(" after")[0] for message in messages] == [
        "Queue jobs can't be used",
        "Queue jobs is back",
    ]


async def test_settlements_wait_for_the_queue_with_their_leases_kept() -> None:
    queue = Flaky(visibility_timeout=1.5)
    for _ in range(3):
        queue.enqueue("add", {})
    ran: list[str] = []

    async def handler(job: Job) -> None:
        ran.append(job.id)
        queue.error = QueueUnavailable("away")

    async with running(queue, handler, concurrency=3):
        await eventually_async(lambda: queue.calls > 4)
        await asyncio.sleep(2)  # longer than the lease
        queue.error = None
        await eventually_async(lambda: queue.stats().totals["acked"] == 3)
    assert sorted(ran) == ["1", "2", "3"]
    assert queue.stats().totals["reclaimed"] == 0


async def test_no_more_jobs_are_taken_than_can_be_settled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "LAST_SETTLEMENTS_SECONDS", 0.1)

    class NoSettling(InMemoryJobQueue):
        def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
            if settlements:
                raise QueueUnavailable("read-only")
            return []

    queue = NoSettling()
    for _ in range(100):
        queue.enqueue("add", {})
    ran: list[str] = []
    runner = WorkerRunner(queue, lambda job: ran.append(job.id), concurrency=3)
    task = runner.start()
    await eventually_async(lambda: len(ran) >= 3)
    await asyncio.sleep(0.5)
    assert len(ran) <= 9
    await runner.stop(grace_seconds=0)
    assert task.done()
    assert "delivered again" in caplog.text


async def test_a_settlement_that_is_refused_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    queue = Flaky()
    queue.refused = "bad"
    gate = asyncio.Event()
    for name in ("good", "bad", "good"):
        queue.enqueue(name, {})

    async def handler(job: Job) -> None:
        await gate.wait()

    async with running(queue, handler, concurrency=3) as runner:
        await eventually_async(lambda: len(runner.running) == 3)
        gate.set()
        await eventually_async(lambda: queue.stats().totals["acked"] == 2)
        queue.refused = None
        queue.enqueue("bad", {})
        await eventually_async(lambda: queue.stats().totals["acked"] == 3)
    assert "a bad settlement" in caplog.text
    assert queue.stats().in_flight == 1  # its lease runs out


async def test_settlements_leave_in_batches(queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    settle = queue.settle_many

    def settle_many(settlements: Sequence[Settlement]) -> list[Outcome]:
        batches.append(len(settlements))
        return settle(settlements)

    monkeypatch.setattr(queue, "settle_many", settle_many)
    for _ in range(20):
        queue.enqueue("bad", {}, max_attempts=1)
    gate = asyncio.Event()

    async def handler(job: Job) -> None:
        await gate.wait()
        raise ValueError("no")

    async with running(queue, handler, concurrency=20) as runner:
        await eventually_async(lambda: len(runner.running) == 20)
        gate.set()
        await eventually_async(lambda: len(queue.dead()) == 20)
    assert len(batches) <= 5
