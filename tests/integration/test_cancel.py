"""Cancelling with a runner at work, with none, and over a restart of Redis."""

from __future__ import annotations

import asyncio
import time

import pytest

from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.runner import WorkerRunner
from svcjobs.settlement import Outcome
from tests.eventually import eventually_async
from tests.servers import RedisServer

LEASE_SECONDS = 3.0


@pytest.mark.alone
@pytest.mark.scenario(25)
async def test_a_running_handler_is_cancelled_within_a_third_of_the_lease(
    redis_server: RedisServer, prefix: str
) -> None:
    queue = RedisJobQueue(redis_server.client(), prefix=prefix, visibility_timeout=LEASE_SECONDS)
    cleaned: list[str] = []

    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(job.payload["seconds"])
        except asyncio.CancelledError:
            await asyncio.sleep(LEASE_SECONDS / 2)  # longer than to the next extension
            cleaned.append(job.id)
            raise

    for job_id, seconds in (("a", 60), ("b", 4), ("c", 60)):
        queue.enqueue("work", {"seconds": seconds}, job_id=job_id)
    runner = WorkerRunner(queue, handler, concurrency=2)
    runner.start()
    try:
        await eventually_async(lambda: queue.stats().in_flight == 2)
        assert queue.cancel("c") is Outcome.CANCELLED  # it waits
        assert queue.cancel("a") is Outcome.CANCELLING
        began = time.monotonic()
        await eventually_async(lambda: queue.stats().totals["cancelled"] == 2, 15)
        assert time.monotonic() - began < LEASE_SECONDS / 3 + LEASE_SECONDS / 2 + 2
        await eventually_async(lambda: queue.stats().totals["acked"] == 1, 15)
    finally:
        await runner.stop(grace_seconds=0)
    assert cleaned == ["a"]
    assert {(job.id, job.reason) for job in queue.dead()} == {("a", "cancelled"), ("c", "cancelled")}
    totals = queue.stats().totals
    assert (totals["retried"], totals["stale"], totals["reclaimed"]) == (0, 0, 0)
    queue.close()


@pytest.mark.scenario(25)
def test_a_cancel_holds_while_all_workers_are_down_and_redis_restarts(own_server: RedisServer) -> None:
    queue = RedisJobQueue(own_server.client(), visibility_timeout=0.2, timeout_seconds=10)
    for job_id in ("ran", "waits", "delayed"):
        queue.enqueue("work", job_id=job_id, delay_seconds=1 if job_id == "delayed" else 0)
    running = queue.reserve_next()
    assert running is not None
    for job_id in ("ran", "waits", "delayed"):
        queue.cancel(job_id)
    own_server.kill()
    own_server.start()
    time.sleep(1.2)  # past the lease and the delay
    later = RedisJobQueue(own_server.client(), timeout_seconds=10)
    assert later.reserve_next() is None
    assert {(job.id, job.reason) for job in later.dead()} == {
        ("ran", "cancelled"), ("waits", "cancelled"), ("delayed", "cancelled"),
    }  # fmt: skip
    queue.close()
    later.close()
