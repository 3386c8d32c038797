"""What a stop does to running and waiting jobs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time

import pytest

from svcjobs import pipeline
from svcjobs.awaited_queue import AwaitedQueue
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.runner import WorkerRunner
from tests.eventually import eventually_async
from tests.unit.runner.running import running, sleeps


@pytest.mark.alone
async def test_a_stop_lets_jobs_end_within_the_grace_and_takes_no_new_one(queue: InMemoryJobQueue) -> None:
    for _ in range(3):
        queue.enqueue("short")
    let_go = asyncio.Event()

    async def handler(job: Job) -> None:
        await let_go.wait()

    runner = WorkerRunner(queue, handler, concurrency=2)
    runner.start()
    await eventually_async(lambda: len(runner.running) == 2)
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.2, let_go.set)
    await runner.stop(grace_seconds=10)
    assert time.monotonic() - began < 3
    stats = queue.stats()
    assert (stats.totals["acked"], stats.ready, stats.in_flight) == (2, 1, 0)
    assert runner.running == []


async def test_what_runs_after_the_grace_is_cancelled_and_given_back_uncharged(queue: InMemoryJobQueue) -> None:
    queue.enqueue("long", {})
    queue.enqueue("short", {})
    cleaned: list[str] = []
    let_go = asyncio.Event()

    async def handler(job: Job) -> None:
        try:
            await (let_go.wait() if job.name == "short" else sleeps(job))
        finally:
            cleaned.append(job.name)

    runner = WorkerRunner(queue, handler, concurrency=2)
    runner.start()
    await eventually_async(lambda: len(runner.running) == 2)
    asyncio.get_running_loop().call_soon(let_go.set)
    await runner.stop(grace_seconds=1)
    assert cleaned == ["short", "long"]
    assert queue.stats().totals["acked"] == 1
    job = queue.get("1")
    assert job is not None
    assert (job.attempts, queue.stats().ready) == (0, 1)


async def test_a_stop_ends_a_wait_whose_client_swallowed_the_cancellation(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []

    async def wait(_self: AwaitedQueue, _seconds: float) -> bool:
        seconds = 0.05 if "swallowed" in waits else 60
        waits.append("begun")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if "swallowed" in waits:
                raise
            waits.append("swallowed")
        return True

    monkeypatch.setattr(AwaitedQueue, "wait", wait)
    runner = WorkerRunner(queue, sleeps)
    runner.start()
    await eventually_async(lambda: waits)
    async with asyncio.timeout(10):
        await runner.stop(grace_seconds=0)
    assert waits == ["begun", "swallowed"]


@pytest.mark.alone
async def test_a_second_stop_can_shorten_the_grace(queue: InMemoryJobQueue) -> None:
    queue.enqueue("long", {})
    runner = WorkerRunner(queue, sleeps)
    runner.start()
    await eventually_async(lambda: runner.running)
    patient = asyncio.create_task(runner.stop(grace_seconds=60))
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await runner.stop(grace_seconds=0)
    await patient
    assert time.monotonic() - began < 3
    assert queue.stats().ready == 1


async def test_a_plain_function_that_goes_on_does_not_hold_up_the_stop(queue: InMemoryJobQueue) -> None:
    let_go = threading.Event()
    queue.enqueue("stuck", {})
    runner = WorkerRunner(queue, lambda job: let_go.wait(20))
    runner.start()
    await eventually_async(lambda: runner.running)
    await runner.stop(grace_seconds=0)
    assert queue.stats().ready == 1
    let_go.set()


async def test_a_handler_that_refuses_to_go_is_left_and_its_job_given_back(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "CLEAN_UP_SECONDS", 0.05)
    let_go = asyncio.Event()

    async def handler(job: Job) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    queue.enqueue("stubborn", {})
    runner = WorkerRunner(queue, handler)
    runner.start()
    await eventually_async(lambda: runner.running)
    await runner.stop(grace_seconds=0)
    assert queue.stats().ready == 1
    assert "stubborn" in caplog.text
    let_go.set()
    await asyncio.sleep(0.01)
    assert queue.stats().totals["stale"] == 0


async def test_cancelling_the_task_is_a_stop_without_grace(queue: InMemoryJobQueue) -> None:
    queue.enqueue("long", {})
    runner = WorkerRunner(queue, sleeps)
    task = runner.start()
    await eventually_async(lambda: runner.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert queue.stats().ready == 1
    assert queue.get("1").attempts == 0  # type: ignore[union-attr]


def test_the_end_of_the_loop_gives_every_job_back(queue: InMemoryJobQueue) -> None:
    for _ in range(20):
        queue.enqueue("long", {})

    async def main() -> None:
        runner = WorkerRunner(queue, sleeps, concurrency=10)
        runner.start()
        await eventually_async(lambda: len(runner.running) == 10)

    asyncio.run(main())
    assert (queue.stats().ready, queue.stats().in_flight) == (20, 0)
    assert queue.stats().totals["released"] == 10


class Slow(InMemoryJobQueue):
    """A queue whose reserve answers when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answer = threading.Event(), threading.Event()

    def reserve_many(self, limit: int, **options: bool) -> list[Job]:
        self.asked.set()
        assert self.answer.wait(10)
        return super().reserve_many(limit, **options)


@pytest.mark.parametrize("by", ["stop", "cancel"])
async def test_jobs_that_arrive_after_the_stop_are_given_back(by: str) -> None:
    queue = Slow()
    queue.enqueue("add", {})
    ran: list[Job] = []
    runner = WorkerRunner(queue, ran.append)
    task = runner.start()
    await eventually_async(queue.asked.is_set)
    if by == "stop":
        stopping = asyncio.create_task(runner.stop())
        await asyncio.sleep(0.01)
        queue.answer.set()
        await stopping
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        queue.answer.set()
    await eventually_async(lambda: queue.stats().totals["released"] == 1)
    assert queue.stats().ready == 1
    assert not ran


@pytest.mark.alone
def test_the_guides_shutdown_by_signal_ends_the_program(queue: InMemoryJobQueue) -> None:
    queue.enqueue("short", {"seconds": 0.1})

    async def handler(job: Job) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await sleeps(job)

    async def main() -> None:
        runner = WorkerRunner(queue, handler)
        loop = asyncio.get_event_loop()
        stops = []

        def shutdown() -> None:
            stops.append(asyncio.create_task(runner.stop(grace_seconds=30.0)))

        loop.add_signal_handler(signal.SIGTERM, shutdown)
        await runner.start()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5
    assert queue.stats().totals["acked"] == 1


async def test_several_runners_share_a_queue(queue: InMemoryJobQueue) -> None:
    for _ in range(200):
        queue.enqueue("add", {})
    seen: list[str] = []
    runners = [WorkerRunner(queue, lambda job: seen.append(job.id), poll_interval=0.25) for _ in range(4)]
    tasks = [runner.start() for runner in runners]
    await eventually_async(lambda: queue.stats().totals["acked"] == 200)
    await asyncio.gather(*[runner.stop() for runner in runners])
    await asyncio.gather(*tasks)
    assert len(seen) == len(set(seen)) == 200


async def test_a_stopped_runner_leaves_nothing_behind(queue: InMemoryJobQueue) -> None:
    before = set(threading.enumerate())
    async with running(queue, sleeps, poll_interval=0.01, concurrency=3):
        queue.enqueue("short", {"seconds": 0})
        await eventually_async(lambda: queue.stats().totals["acked"] == 1)
    gc.collect()
    assert len(asyncio.all_tasks()) == 1
    await eventually_async(lambda: not set(threading.enumerate()) - before)


# leases
