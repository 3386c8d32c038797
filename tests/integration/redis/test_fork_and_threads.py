"""One queue object in many threads, and in a process that forks."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
import redis
import redis.asyncio

from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.errors import LeaseLost
from svcjobs.job import NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.chaos.victim import PROCESSES
from tests.servers import RedisServer

THREADS = 8
CHILDREN = 4
JOBS = 400


def parent(url: str, prefix: str, wire: Connection) -> None:
    """Use a queue, fork children that use it too, use it on; report who did what. Runs in a process without threads."""
    client = redis.Redis.from_url(url, client_name=f"{prefix}-0")
    queue = RedisJobQueue(client, prefix=prefix)
    queue.enqueue("work")  # leaves a nonce idle and a connection open
    queue.ack(queue.reserve_next())  # type: ignore[arg-type]
    queue.enqueue_many([NewJob("work", job_id=f"p{n}") for n in range(20)])
    fork = multiprocessing.get_context("fork")
    reports = fork.SimpleQueue()

    def run() -> None:
        done = []
        for n in range(30):
            queue.enqueue("work", job_id=f"{os.getpid()}-{n}")
            if job := queue.reserve_next():
                queue.ack(job)
                done.append((job.id, job.lease))
        nonces = [nonce for nonce, _ in queue._protocol._requests._idle]
        reports.put((os.getpid(), client.client_id(), done, nonces))

    children = [fork.Process(target=run) for _ in range(CHILDREN)]
    for child in children:
        child.start()
    run()
    collected = [reports.get() for _ in range(CHILDREN + 1)]
    for child in children:
        child.join()
    wire.send((collected, [child.exitcode for child in children]))
    wire.close()


def test_forked_children_share_neither_requests_nor_sockets_with_their_parent(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    mine, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=parent, args=(redis_server.url, prefix, theirs))
    process.start()
    theirs.close()
    try:
        assert mine.poll(30), "a child died or hangs"
        collected, exits = mine.recv()
    finally:
        process.kill()
        process.join()
    assert exits == [0] * CHILDREN
    done = [job_id for _, _, jobs, _ in collected for job_id, _ in jobs]
    leases = [lease for _, _, jobs, _ in collected for _, lease in jobs]
    assert max(Counter(done).values()) == 1, "a job was done twice"
    assert len(set(leases)) == len(leases)
    nonces = [nonce for *_, idle in collected for nonce in idle]
    assert len(nonces) >= CHILDREN + 1
    assert len(set(nonces)) == len(nonces), "two processes have the same nonce"
    stats = RedisJobQueue(redis_client, prefix=prefix).stats()
    assert stats.totals["stale"] == 0
    assert stats.totals["enqueued"] == 21 + 30 * (CHILDREN + 1)
    assert stats.ready == stats.totals["enqueued"] - 1 - len(done)


def test_threads_share_a_queue_object(queue: RedisJobQueue, redis_client: redis.Redis) -> None:
    """Each call gets its own reply: no job twice, no settlement refused, tokens unique, every effect once."""
    done: list[tuple[str, str | None]] = []
    enqueued: list[str] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def work(number: int) -> None:
        try:
            barrier.wait()
            for n in range(JOBS // THREADS):
                job = queue.enqueue("work", {"thread": number, "n": n})
                enqueued.append(job.id)
                assert job.payload == {"thread": number, "n": n}
                for taken in queue.reserve_many(2):
                    stored = queue.get(taken.id)
                    assert stored
                    assert (stored.id, stored.payload) == (taken.id, taken.payload)
                    queue.extend(taken)
                    queue.ack(taken.id)
                    done.append((taken.id, taken.lease))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    while job := queue.reserve_next():
        queue.ack(job)
        done.append((job.id, job.lease))
    assert sorted(job_id for job_id, _ in done) == sorted(enqueued)
    assert len(set(enqueued)) == JOBS
    assert len({lease for _, lease in done}) == JOBS
    totals = queue.stats().totals
    assert (totals["enqueued"], totals["acked"], totals["stale"]) == (JOBS, JOBS, 0)
    check_drained(redis_client, queue.name)


@pytest.mark.scenario(34)
def test_a_unique_key_met_by_many_threads_makes_one_job(queue: RedisJobQueue) -> None:
    made = []
    barrier = threading.Barrier(THREADS)

    def work() -> None:
        barrier.wait()
        made.extend(queue.enqueue("work", unique=Unique("one")) for _ in range(12))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in made}) == 1
    assert sum(job.created for job in made) == 1
    assert queue.stats().ready == 1


async def test_a_thousand_coroutines_share_an_async_queue(redis_server: RedisServer, prefix: str) -> None:
    """More calls at once than connections: they wait their turn."""
    queue = AsyncRedisJobQueue(redis.asyncio.Redis.from_url(redis_server.url), prefix=prefix, timeout_seconds=20)
    jobs = await asyncio.gather(*(queue.enqueue("work", {"n": n}) for n in range(1000)))
    assert [job.payload["n"] for job in jobs] == list(range(1000))
    assert len({job.id for job in jobs}) == 1000
    taken = await asyncio.gather(*(queue.reserve_next() for _ in range(1000)))
    await asyncio.gather(*(queue.ack(job) for job in taken if job))
    stats = await queue.stats()
    assert (stats.totals["enqueued"], stats.totals["acked"], stats.totals["stale"]) == (1000, 1000, 0)
    assert queue.reconnects == 0
    await queue.close()


def test_two_hundred_threads_share_a_queue_object(
    new_queue: Callable[..., RedisJobQueue], redis_client: redis.Redis
) -> None:
    queue = new_queue(redis_client, timeout_seconds=20)
    threads = [threading.Thread(target=queue.enqueue, args=("work",)) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.stats().ready == 200
    assert queue.reconnects == 0


def test_a_queue_object_works_again_after_close(queue: RedisJobQueue) -> None:
    queue.enqueue("work")
    queue.close()
    job = queue.reserve_next()
    assert job
    queue.ack(job)


def test_settling_by_id_needs_the_queue_object_that_reserved(
    queue: RedisJobQueue, redis_client: redis.Redis, new_queue: Callable[..., RedisJobQueue]
) -> None:
    queue.enqueue("work", job_id="a")
    assert queue.reserve_next()
    with pytest.raises(LeaseLost):
        new_queue(redis_client).ack("a")
    queue.ack("a")
