"""maxmemory is reached and nothing may be evicted: no job is taken in, and those inside get done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
import redis

from svcjobs._redis import worker_calls
from svcjobs._redis.scripts import script
from svcjobs.effects import Count, Follow, SetResult
from svcjobs.errors import QueueFull
from svcjobs.heartbeats import Heartbeats, LiveWorker
from svcjobs.job import NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check, check_drained
from tests.integration.redis.stage import SCRIPTS
from tests.server_program import ServerProgram
from tests.servers import RedisServer

JOBS = 60


@pytest.fixture
def full(server_program: ServerProgram) -> Iterator[tuple[RedisJobQueue, redis.Redis]]:
    """A queue with jobs of each kind, on a server that takes no more."""
    with RedisServer(server_program, maxmemory="0", policy="noeviction") as server:
        client = server.client()
        queue = RedisJobQueue(client, visibility_timeout=30, timeout_seconds=2)
        queue.enqueue_many([NewJob("work", {"n": n}, job_id=f"r{n}", unique=Unique(f"u{n}")) for n in range(JOBS)])
        queue.enqueue_many([NewJob("work", job_id=f"d{n}", delay_seconds=0.05, priority=n) for n in range(5)])
        for _ in range(5):
            job = queue.reserve_next()
            assert job
            queue.bury(job, reason="rejected")
        for name in SCRIPTS:
            client.script_load(script(name).source)
        client.config_set("maxmemory", "1mb")
        with pytest.raises(redis.ResponseError, match="used memory"):
            client.set("x", "y")
        yield queue, client
        queue.close()


def test_p1_a_full_server_refuses_jobs_and_stores_nothing_of_them(full: tuple[RedisJobQueue, redis.Redis]) -> None:
    queue, client = full
    before = {key: client.dump(key) for key in client.scan_iter()}
    for act in (
        lambda: queue.enqueue("work"),
        lambda: queue.enqueue("work", job_id="mine", unique=Unique("mine"), priority=7),
        lambda: queue.enqueue("work", delay_seconds=5),
        lambda: queue.enqueue_many([NewJob("work"), NewJob("work", delay_seconds=1)]),
        lambda: queue.claim_tick("nightly", 1.0, NewJob("report")),
    ):
        with pytest.raises(QueueFull):
            act()
        assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_p1_a_full_server_goes_on_with_what_it_has(full: tuple[RedisJobQueue, redis.Redis]) -> None:
    queue, client = full
    queue.pause()
    assert queue.reserve_next() is None
    queue.resume()
    first, second, third, fourth = queue.reserve_many(4)
    queue.extend(first, seconds=60)
    queue.release(first)
    assert queue.fail(second, error="oops" * 100, delay_seconds=0.01) == "retried"
    queue.bury(third, reason="rejected", error="no", traceback="t" * 2000)
    queue.ack(
        fourth, effects=[SetResult("result", "done"), Count("tally"), Follow(NewJob("next", job_id="next", priority=7))]
    )
    assert client.get("result") == b"done"
    assert queue.requeue(third.id).attempts == 0
    assert queue.cancel(f"r{JOBS - 1}") == "cancelled"
    assert queue.requeue_all() == 6
    check(client, "jobs")

    queue.promote()
    queue.reclaim()
    done = set()
    while len(done) < JOBS + 5:
        for job in queue.reserve_many(7):
            queue.ack(job)
            done.add(job.id)
    assert "next" in done
    assert queue.reserve_next() is None
    check_drained(client, "jobs")


def test_p1_workers_stay_known_on_a_full_server(full: tuple[RedisJobQueue, redis.Redis]) -> None:
    queue, client = full
    assert queue._link.run(worker_calls.beat("jobs", "w1", "{}", 60)) == 1
    assert client.exists("jobs:worker:w1")


def test_a_worker_that_stays_the_same_can_say_so(full: tuple[RedisJobQueue, redis.Redis]) -> None:
    _, client = full
    with closing(Heartbeats(client)) as heartbeats:
        worker = LiveWorker("w1", "here", 1, "async", 1, datetime.now(UTC))
        heartbeats.beat(worker)
        # long enough ago that a clock which is set back a little doesn't hide the second one
        client.config_set("maxmemory", "0")
        first = client.zincrby("jobs:workers", -5, "w1")
        client.config_set("maxmemory", "1mb")
        heartbeats.beat(worker)
        assert float(client.zscore("jobs:workers", "w1")) > float(first)


def test_p1_a_full_server_takes_jobs_back_from_a_lost_worker(full: tuple[RedisJobQueue, redis.Redis]) -> None:
    queue, client = full
    hasty = RedisJobQueue(client, visibility_timeout=0.01)
    lost = hasty.reserve_many(20)
    ids = set()
    while len(ids) < JOBS:
        for job in queue.reserve_many(10):
            ids.add(job.id)
            queue.ack(job)
    assert {job.id for job in lost} <= ids
    hasty.close()


def test_p9_a_full_server_buries_what_it_cannot_run_and_is_purged(full: tuple[RedisJobQueue, redis.Redis]) -> None:
    queue, client = full
    client.hdel("jobs:job:r5", "payload")
    client.hdel("jobs:job:r6", "name", "attempts")
    assert [job.id for job in queue.reserve_many(3)] == ["r7"]
    assert {job.id for job in queue.dead() if job.reason == "corrupt"} == {"r5", "r6"}
    assert queue.purge_dead() == 7
    assert queue.purge() >= JOBS - 8
