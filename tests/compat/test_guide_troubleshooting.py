"""The guide's section "Troubleshooting": its commands and its advice."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import redis

from svcjobs.clock import MovableClock
from svcjobs.easy import easy_jobs
from svcjobs.queue import InMemoryJobQueue, Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.runner import WorkerRunner
from svcjobs.worker import process_one
from tests.compat.program import SVCJOBS, run, running
from tests.eventually import eventually_async
from tests.server_program import ROOT
from tests.servers import RedisServer


def ask(server: RedisServer, *command: str) -> str:
    """The answer of redis-cli; without that program, of the same command over a client."""
    program = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if program is None:
        answer = server.client(decode_responses=True).execute_command(*command)
        return "PONG" if answer is True else str(answer)
    done = subprocess.run([program, "-p", str(server.port), *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_server_answers_a_ping(redis_server: RedisServer) -> None:
    assert ask(redis_server, "ping") == "PONG"


def test_the_default_queue_is_found_under_jobs_ready(own_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", own_server.url)
    queue, _ = easy_jobs(driver="redis")
    queue.enqueue("work", {})
    queue.enqueue("work", {})
    assert ask(own_server, "llen", "jobs:ready") == "2"
    queue.reserve_next()
    assert (ask(own_server, "llen", "jobs:ready"), ask(own_server, "llen", "jobs:processing")) == ("1", "1")
    queue.close()


def test_status_shows_what_is_stuck(folder: Path, stored: RedisJobQueue, on_redis: dict[str, str]) -> None:
    stored.enqueue("work", {})
    done = run([SVCJOBS, "status", "--json"], folder, on_redis)
    assert done.returncode == 0, done.stderr
    assert '"ready": 1' in done.stdout


def test_a_worker_on_the_wrong_driver_says_so(folder: Path) -> None:
    (folder / "app.py").write_text("def handle(job):\n    pass\n")
    with running([SVCJOBS, "worker", "-A", "app:handle"], folder, {"JOBS_DRIVER": "memory"}) as worker:
        worker.says("set JOBS_DRIVER=redis")
        worker.says("ready\n")
        assert worker.stop() == 0


async def test_a_limit_frees_what_a_hanging_job_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "0.05")
    queue, released = InMemoryJobQueue(), []

    async def handle(job: Job) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            released.append(job.id)

    queue.enqueue("hangs", {})
    assert await process_one(queue, handle)
    assert released == ["1"]


async def test_no_job_is_retried_for_ever() -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("fails", {"n": 1}, max_attempts=3)
    starts = 0

    async def handle(job: Job) -> None:
        nonlocal starts
        starts += 1
        raise RuntimeError(f"pattern {starts}")

    for _ in range(10):
        await process_one(queue, handle)
        clock.advance(86400)
    assert starts == 3
    (dead,) = queue.dead()
    assert [entry["error"] for entry in dead.history] == [f"RuntimeError: pattern {n}" for n in (1, 2, 3)]
    assert dead.traceback is not None


async def test_a_handler_that_raises_before_the_ack_loses_no_job(stored: RedisJobQueue) -> None:
    job = stored.enqueue("work", {})

    async def handle(job: Job) -> None:
        raise RuntimeError("before the ack")

    assert await process_one(stored, handle)
    assert stored.get(job.id) is not None
    assert stored.stats().delayed == 1


def test_the_persistence_to_use_is_documented(own_server: RedisServer) -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    for name, value in re.findall(r"^(appendonly|appendfsync) (\w+)$", page, re.MULTILINE):
        assert own_server.client(decode_responses=True).config_set(name, value)
    assert "appendonly yes" in page


@pytest.mark.alone
@pytest.mark.parametrize("poll_interval", [0.05, 2.0])
async def test_a_job_is_picked_up_at_once_whatever_the_poll_interval(
    stored: RedisJobQueue, poll_interval: float
) -> None:
    began: list[float] = []

    async def handle(job: Job) -> None:
        began.append(time.monotonic())

    runner = WorkerRunner(stored, handle, poll_interval=poll_interval)
    runner.start()
    stored.enqueue("first", {})
    await eventually_async(lambda: began)
    await asyncio.sleep(0.1)  # now it is idle, and waits
    enqueued = time.monotonic()
    stored.enqueue("second", {})
    await eventually_async(lambda: len(began) == 2)
    assert began[1] - enqueued < 1
    await runner.stop()


def test_jobs_go_in_and_out_in_batches(stored: RedisJobQueue, redis_client: redis.Redis) -> None:
    stored.enqueue_many([NewJob("work", {"n": n}) for n in range(100)])
    jobs = stored.reserve_many(100)
    assert [job.payload["n"] for job in jobs] == list(range(100))
    assert redis_client.llen(f"{stored.name}:processing") == 100
