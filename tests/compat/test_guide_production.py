"""The guide's section "Production Recommendations"."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
import redis

from svcjobs.easy import easy_jobs, open_client
from svcjobs.queue import InMemoryJobQueue, Job
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.runner import WorkerRunner
from svcjobs.worker import process_one
from tests.eventually import eventually_async
from tests.server_program import ServerProgram
from tests.servers import RedisServer


@pytest.fixture
def guarded(server_program: ServerProgram) -> Iterator[RedisServer]:
    with RedisServer(server_program, password="sekret") as server:
        yield server


def test_a_url_may_hold_user_and_password(guarded: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://default:sekret@127.0.0.1:{guarded.port}/0")
    queue, _ = easy_jobs(driver="redis")
    try:
        assert queue.enqueue("work", {}).id == "1"
    finally:
        queue.close()


def test_a_url_with_two_s_is_tls() -> None:
    client = open_client("rediss://redis.example.com:6379/0")
    assert client.connection_pool.connection_class is redis.SSLConnection
    client.close()


@pytest.mark.alone
@pytest.mark.parametrize(("workers", "poll_interval", "a_minute"), [(1, 1.0, 100), (3, 0.5, 1000), (5, 0.25, 2000)])
async def test_the_sizes_of_the_table_keep_up(
    stored: RedisJobQueue, workers: int, poll_interval: float, a_minute: int
) -> None:
    """Each row's number of workers does a tenth of a minute's jobs in less than that."""
    done: list[str] = []

    async def handle(job: Job) -> None:
        done.append(job.id)

    for n in range(a_minute // 10):
        stored.enqueue("work", {"n": n})
    runners = [WorkerRunner(stored, handle, poll_interval=poll_interval) for _ in range(workers)]
    began = time.monotonic()
    for runner in runners:
        runner.start()
    await eventually_async(lambda: len(done) == a_minute // 10, 6)
    assert time.monotonic() - began < 6
    for runner in runners:
        await runner.stop()


async def test_a_default_limit_ends_any_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "0.05")
    queue = InMemoryJobQueue()
    queue.enqueue("slow", {}, max_attempts=1)

    async def handle(job: Job) -> None:
        await asyncio.sleep(30)

    assert await process_one(queue, handle)
    assert [job.last_error for job in queue.dead()] == ["JobTimeoutError: Job slow exceeded timeout of 0.05s"]


async def test_a_limit_inside_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "300")
    queue = InMemoryJobQueue()
    queue.enqueue("slow", {}, max_attempts=1)

    async def handle(job: Job) -> None:
        try:
            await asyncio.wait_for(asyncio.sleep(30), timeout=0.05)
        except asyncio.TimeoutError:  # noqa: UP041  # as people write it
            raise Exception("it took too long") from None

    assert await process_one(queue, handle)
    assert [job.last_error for job in queue.dead()] == ["Exception: it took too long"]


@pytest.mark.alone
async def test_a_stop_returns_within_its_grace() -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("endless", {})

    async def handle(job: Job) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.sleep(3600)

    runner = WorkerRunner(queue, handle)
    runner.start()
    await eventually_async(lambda: runner.running)
    began = time.monotonic()
    await runner.stop(grace_seconds=0.2)
    assert 0.1 < time.monotonic() - began < 2
    assert queue.stats().ready == 1
