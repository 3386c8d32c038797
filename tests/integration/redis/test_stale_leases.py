"""P2: one committed outcome for each job, whoever else believes to hold it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
import redis

from svcjobs.errors import LeaseLost
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack, Bury, Fail, Release
from tests.audit import check, check_drained
from tests.chaos.victim import PROCESSES
from tests.eventually import eventually
from tests.servers import RedisServer

LEASE_SECONDS = 0.3


def sleepy_worker(url: str, prefix: str, verb: str, wire: Connection) -> None:
    """Take a job, tell, be stopped, settle it, tell what came of it."""
    queue = RedisJobQueue(redis.Redis.from_url(url), prefix=prefix, visibility_timeout=LEASE_SECONDS)
    job = queue.reserve_next()
    assert job
    wire.send(job.id)
    wire.recv()
    try:
        {
            "ack": lambda: queue.ack(job),
            "fail": lambda: queue.fail(job, error="oops"),
            "bury": lambda: queue.bury(job, reason="rejected"),
            "release": lambda: queue.release(job),
        }[verb]()
    except LeaseLost as error:
        wire.send(f"refused: {error}")
    else:
        wire.send("settled")


@pytest.mark.promise("P2")
@pytest.mark.scenario(5)
@pytest.mark.parametrize("verb", ["ack", "fail", "bury", "release"])
def test_p2_a_worker_stopped_past_its_lease_settles_nothing(
    redis_server: RedisServer, redis_client: redis.Redis, new_queue: Callable[..., RedisJobQueue], verb: str
) -> None:
    queue = new_queue(redis_client, visibility_timeout=LEASE_SECONDS)
    queue.enqueue("work", job_id="a")
    wire, end = PROCESSES.Pipe()
    first = PROCESSES.Process(target=sleepy_worker, args=(redis_server.url, queue.name, verb, end), daemon=True)
    first.start()
    assert first.pid
    try:
        assert wire.poll(45)
        wire.recv()
        os.kill(first.pid, signal.SIGSTOP)
        wire.send("go on")
        second = eventually(queue.reserve_next)
        assert second.attempts == 2
        queue.ack(second)
        os.kill(first.pid, signal.SIGCONT)
        assert wire.poll(45)
        assert "refused" in wire.recv()
    finally:
        first.kill()
        first.join()
    totals = queue.stats().totals
    assert (totals["stale"], totals["acked"], totals["reclaimed"]) == (1, 1, 1)
    check_drained(redis_client, queue.name)


@pytest.mark.promise("P2")
@pytest.mark.parametrize("verb", [Ack, lambda job: Fail(job, "oops"), lambda job: Bury(job, "no"), Release])
def test_p2_a_token_stays_stale_when_its_job_id_comes_again(
    queue: RedisJobQueue, redis_client: redis.Redis, verb: Callable[..., Ack]
) -> None:
    """ABA: the same id, the same attempt number, another job."""
    queue.enqueue("work", job_id="a")
    old = queue.reserve_next()
    assert old
    queue.ack(old)
    queue.enqueue("work", job_id="a")
    assert queue.settle_many([verb(old)]) == ["stale"]
    new = queue.reserve_next()
    assert new
    assert (new.id, new.attempts) == (old.id, old.attempts)
    assert new.lease != old.lease
    assert queue.settle_many([verb(old)]) == ["stale"]
    with pytest.raises(LeaseLost):
        queue.extend(old)
    queue.ack(new)
    assert queue.stats().totals["acked"] == 2
    check_drained(redis_client, queue.name)


@pytest.mark.promise("P2")
def test_p2_a_token_stays_stale_when_the_counter_of_leases_is_lost(
    queue: RedisJobQueue, redis_client: redis.Redis, new_queue: Callable[..., RedisJobQueue]
) -> None:
    """A lost tail of the append-only file: numbers come again, the consumer's nonce doesn't."""
    queue.enqueue("work", job_id="a")
    old = queue.reserve_next()
    assert old
    redis_client.delete(f"{queue.name}:leases")
    queue.release(old)
    other = new_queue(redis_client)
    new = other.reserve_next()
    assert new
    assert new.lease is not None
    assert old.lease is not None
    assert new.lease.partition("-")[0] == old.lease.partition("-")[0]
    with pytest.raises(LeaseLost):
        queue.ack(old)
    other.ack(new)


@pytest.mark.promise("P2")
def test_p2_one_of_two_settlements_in_a_batch_counts(queue: RedisJobQueue, redis_client: redis.Redis) -> None:
    queue.enqueue("work", job_id="a")
    job = queue.reserve_next()
    assert job
    assert queue.settle_many([Ack(job), Ack(job)]) == ["acked", "stale"]
    assert queue.settle_many([Fail(job, "oops"), Ack(job)]) == ["stale", "stale"]
    check(redis_client, queue.name, set())


@pytest.mark.promise("P2")
def test_p2_a_lease_that_ran_out_settles_until_somebody_else_has_the_job(
    new_queue: Callable[..., RedisJobQueue], redis_client: redis.Redis
) -> None:
    queue = new_queue(redis_client, visibility_timeout=0.05)
    queue.enqueue_many([])
    queue.enqueue("work", job_id="a")
    job = queue.reserve_next()
    assert job
    eventually(lambda: float(redis_client.zscore(f"{queue.name}:processing_vt", "a") or 0) < server_time(redis_client))
    queue.ack(job)
    check_drained(redis_client, queue.name)


def server_time(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1_000_000
