"""The guide's section "Worker Runner"."""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
from pathlib import Path

import pytest

from svcjobs.easy import easy_jobs
from svcjobs.queue import InMemoryJobQueue, Job
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.runner import WorkerRunner
from tests.compat.program import running
from tests.eventually import eventually_async

STOPPED_BY_A_SIGNAL = """
import asyncio
import signal

from svcjobs.easy import easy_jobs
from svcjobs.runner import WorkerRunner


async def handle(job):
    print("began", flush=True)
    await asyncio.sleep(job.payload["seconds"])
    print("ended", flush=True)


async def main():
    queue, _ = easy_jobs()
    queue.enqueue("slow", {"seconds": 0.5})
    runner = WorkerRunner(queue, handle)
    stopping = []

    def stop():
        stopping.append(asyncio.create_task(runner.stop(grace_seconds=30.0)))

    loop = asyncio.get_event_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    await runner.start()
    print("stopped", queue.stats().ready, queue.stats().in_flight)


asyncio.run(main())
"""


async def test_a_runner_runs_jobs_until_it_is_stopped() -> None:
    queue, _ = easy_jobs()
    names: list[str] = []

    async def handle(job: Job) -> None:
        names.append(job.name)

    runner = WorkerRunner(queue, handle, poll_interval=0.5)
    task = runner.start()
    assert isinstance(task, asyncio.Task)
    queue.enqueue("first", {})
    await eventually_async(lambda: names == ["first"])
    queue.enqueue("second", {})
    await eventually_async(lambda: names == ["first", "second"])
    assert not task.done()
    await runner.stop(grace_seconds=10.0)
    assert task.done()
    assert (queue.stats().ready, queue.stats().in_flight) == (0, 0)


def test_the_defaults_are_half_a_second_and_ten_seconds() -> None:
    assert inspect.signature(WorkerRunner).parameters["poll_interval"].default == 0.5
    assert inspect.signature(WorkerRunner.stop).parameters["grace_seconds"].default == 10.0


async def test_what_outlasts_the_grace_is_given_back() -> None:
    queue = InMemoryJobQueue()
    job = queue.enqueue("endless", {})

    async def handle(job: Job) -> None:
        await asyncio.sleep(3600)

    runner = WorkerRunner(queue, handle)
    runner.start()
    await eventually_async(lambda: runner.running)
    await runner.stop(grace_seconds=0.05)
    left = queue.get(job.id)
    assert left is not None
    assert (queue.stats().ready, left.attempts) == (1, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_job_end(number: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(STOPPED_BY_A_SIGNAL)
    with running([sys.executable, str(script)], tmp_path, {}) as program:
        program.says("began")
        assert program.stop(number) == 0
        assert program.output == "began\nended\nstopped 0 0\n"


async def test_several_runners_share_a_queue(stored: RedisJobQueue) -> None:
    ran: list[str] = []
    meeting = asyncio.Barrier(4)

    async def handle(job: Job) -> None:
        ran.append(job.id)
        if len(ran) <= 4:
            await meeting.wait()  # all four run at once, or none gets past here

    jobs = [stored.enqueue("work", {"n": n}) for n in range(20)]
    runners = [WorkerRunner(stored, handle, poll_interval=0.25) for _ in range(4)]
    tasks = [runner.start() for runner in runners]
    await eventually_async(lambda: len(ran) == 20)
    await asyncio.gather(*(runner.stop() for runner in runners))
    await asyncio.gather(*tasks)
    assert sorted(ran, key=int) == [job.id for job in jobs]
