"""Jobs that are fetched and run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from svcjobs.errors import ConfigurationError
from svcjobs.job import Job, NewJob
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.registry import JobRegistry, JobResult
from svcjobs.runner import WorkerRunner
from svcjobs.settlement import Outcome, Settlement
from tests.eventually import eventually_async
from tests.unit.runner.running import running, sleeps

TIMEOUT = "JOB_DEFAULT_TIMEOUT_SECONDS"


async def test_every_job_is_run_once_and_acked(queue: InMemoryJobQueue) -> None:
    for number in range(300):
        queue.enqueue("add", {"number": number})
    seen: list[int] = []
    async with running(queue, lambda job: seen.append(job.payload["number"]), concurrency=7):
        await eventually_async(lambda: queue.stats().totals["acked"] == 300)
    assert sorted(seen) == list(range(300))
    assert (queue.stats().in_flight, queue.stats().totals["stale"]) == (0, 0)


async def test_one_at_a_time_jobs_run_in_their_order(queue: InMemoryJobQueue) -> None:
    seen: list[str] = []
    for _ in range(50):
        queue.enqueue("add", {})

    async def handler(job: Job) -> None:
        seen.append(job.id)
        await asyncio.sleep(0)
        seen.append(job.id)

    async with running(queue, handler):
        await eventually_async(lambda: len(seen) == 100)
    assert seen == [str(number) for number in range(1, 51) for _ in "ab"]


async def test_as_many_handlers_run_at_once_as_asked_for_and_no_more(queue: InMemoryJobQueue) -> None:
    at_once = most = 0
    together = asyncio.Event()

    async def handler(job: Job) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 5:
            together.set()
        await asyncio.wait_for(together.wait(), 20)
        await asyncio.sleep(0.001)
        at_once -= 1

    for _ in range(40):
        queue.enqueue("add", {})
    async with running(queue, handler, concurrency=5):
        await eventually_async(lambda: queue.stats().totals["acked"] == 40)
    assert most == 5


@pytest.mark.promise("P7")
async def test_no_job_is_held_that_is_not_run(queue: InMemoryJobQueue) -> None:
    for _ in range(10):
        queue.enqueue("long", {})
    async with running(queue, sleeps, concurrency=3) as runner:
        await eventually_async(lambda: len(runner.running) == 3)
        await asyncio.sleep(0.1)
        assert queue.stats().in_flight == 3
        assert [run.job.id for run in runner.running] == ["1", "2", "3"]
        assert all(run.started_at.tzinfo for run in runner.running)


@pytest.mark.alone
async def test_an_idle_runner_is_woken_by_an_enqueue(queue: InMemoryJobQueue) -> None:
    took: list[float] = []
    async with running(queue, lambda job: took.append(time.perf_counter()), poll_interval=2):
        for number in range(1, 11):
            await asyncio.sleep(0.03)
            began = time.perf_counter()
            queue.enqueue("now", {})
            await eventually_async(lambda number=number: len(took) == number)
            took[-1] -= began
    assert sorted(took)[5] < 0.1


@pytest.mark.alone
@pytest.mark.promise("P5")
async def test_a_delayed_job_starts_when_it_is_due(queue: InMemoryJobQueue) -> None:
    late: list[float] = []
    async with running(queue, lambda job: late.append(time.time() - job.available_at.timestamp()), poll_interval=2):
        for number in range(1, 4):
            queue.enqueue("later", {}, delay_seconds=0.3)
            await eventually_async(lambda number=number: len(late) == number)  # type: ignore[misc]
    assert min(late) > -0.05, "early by more than a clock may be set back"
    assert min(late) < 0.5


async def test_plain_functions_run_side_by_side_in_threads(queue: InMemoryJobQueue) -> None:
    together = threading.Barrier(12)
    for _ in range(12):
        queue.enqueue("add", {})
    async with running(queue, lambda job: together.wait(20) and None, concurrency=12):
        await eventually_async(lambda: queue.stats().totals["acked"] == 12)


async def test_failures_of_all_kinds_do_not_end_the_runner(queue: InMemoryJobQueue) -> None:
    registry = JobRegistry()

    @registry.handler("exit")
    async def leave(job: Job) -> None:
        raise SystemExit(1)

    @registry.handler("interrupt")
    def interrupt(job: Job) -> None:
        raise KeyboardInterrupt

    registry.register("unsuccessful", lambda job: JobResult(False, "no"))
    for name in ("exit", "interrupt", "unsuccessful", "unknown"):
        queue.enqueue(name, {}, max_attempts=1)
    async with running(queue, registry):
        await eventually_async(lambda: len(queue.dead()) == 4)
    assert {job.name: (job.reason, job.last_error) for job in queue.dead()} == {
        "exit": ("exhausted", "SystemExit: 1"),
        "interrupt": ("exhausted", "KeyboardInterrupt"),
        "unsuccessful": ("exhausted", "no"),
        "unknown": ("unknown_job", "UnknownJobError: Unknown job type: unknown"),
    }


@pytest.mark.promise("P9")
async def test_a_job_past_its_limit_is_buried_unrun() -> None:
    queue = InMemoryJobQueue(visibility_timeout=0.01)
    queue.enqueue("poison", {}, max_attempts=1)
    queue.reserve_next()
    ran: list[Job] = []
    await asyncio.sleep(0.02)
    async with running(queue, ran.append):
        await eventually_async(queue.dead)
    assert not ran
    assert queue.dead()[0].reason == "worker_lost"


async def test_the_time_limit_is_the_configured_one(queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT, "0.02")
    queue.enqueue("long", {}, max_attempts=1)
    async with running(queue, sleeps):
        await eventually_async(queue.dead)
    assert queue.dead()[0].last_error == "JobTimeoutError: Job long exceeded timeout of 0.02s"


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"concurrency": 1.5}, {"poll_interval": -1}, {"poll_interval": float("nan")}]
)
def test_senseless_options_are_refused(queue: InMemoryJobQueue, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="give"):
        WorkerRunner(queue, sleeps, **options)


# stopping


async def test_start_again_is_the_same_run_and_a_stopped_runner_starts_anew(queue: InMemoryJobQueue) -> None:
    runner = WorkerRunner(queue, lambda job: None)
    await runner.stop()
    task = runner.start()
    assert runner.start() is task
    await asyncio.gather(runner.stop(), runner.stop(grace_seconds=1))
    assert task.done()
    assert task.exception() is None
    await runner.stop()
    queue.enqueue("again", {})
    assert runner.start() is not task
    await eventually_async(lambda: queue.stats().totals["acked"] == 1)
    await runner.stop()


async def test_an_idle_runner_looks_less_and_less_often() -> None:
    waits: list[float] = []

    class Asleep(InMemoryJobQueue):
        def wait(self, seconds: float) -> None:
            waits.append(seconds)
            if len(waits) in (5, 9):
                self.enqueue("add", {})

    queue = Asleep()
    async with running(queue, lambda job: None):
        await eventually_async(lambda: queue.stats().totals["acked"] == 2)
    assert waits[:9] == [0.5, 1, 2, 2, 2, 0.5, 1, 2, 2]


async def test_a_queue_whose_calls_block_leaves_the_loop_free_and_takes_three_threads() -> None:
    class Slow(InMemoryJobQueue):
        def _slowly(self) -> None:
            used.add(threading.get_ident())
            time.sleep(0.2)

        def reserve_many(self, limit: int, **options: Any) -> list[Job]:
            self._slowly()
            return super().reserve_many(limit, **options)

        def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
            if settlements:  # a reserve calls it with none, under its lock
                self._slowly()
            return super().settle_many(settlements)

        def extend_many(self, jobs: Sequence[Job], **options: Any) -> list[Outcome]:
            self._slowly()
            return super().extend_many(jobs, **options)

    used: set[int] = set()
    queue = Slow(visibility_timeout=2)
    queue.enqueue_many([NewJob("sleep", {"seconds": 0.5}) for _ in range(40)])
    async with running(queue, sleeps, concurrency=20):
        turns = 0
        while queue.stats().totals["acked"] < 40:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            turns += time.monotonic() - began < 0.1
    assert turns > 50
    assert threading.get_ident() not in used
    assert len(used) <= 3
