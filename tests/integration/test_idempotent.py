"""``@idempotent`` over inboxes in Redis and in databases, and after a kill."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import StaticPool

from svcjobs import Job, Postponed, idempotent, process_one
from svcjobs.db.inbox import AsyncInboxStore, Inbox, InboxStore, RedisInboxStore
from svcjobs.db.tables import create_tables
from svcjobs.redis_queue import RedisJobQueue
from tests.servers import RedisServer


@pytest.fixture
def redis_inbox(redis_client: redis.Redis, prefix: str) -> Iterator[RedisInboxStore]:
    with closing(RedisInboxStore(redis_client, prefix=f"{prefix}:inbox")) as inbox:
        yield inbox


def job(number: int) -> Job:
    return Job(id=str(number), name="charge", payload={"order_id": 7})


def check(inbox: Inbox) -> None:
    """Of many runs at once one does the work; a failed one gives the key back."""
    done: list[str] = []
    barrier = threading.Barrier(8)

    @idempotent(key="order_id", inbox=inbox)
    def charge(job: Job) -> None:
        if not done:
            done.append(job.id)
            raise RuntimeError("no")
        time.sleep(0.05)  # the others come meanwhile
        done.append(job.id)

    def run(number: int) -> bool:
        barrier.wait()
        try:
            charge(job(number))
        except Postponed:
            return False
        return True

    with pytest.raises(RuntimeError):
        charge(job(0))
    # a mark can't be taken back, only made to end at once, which is in a millisecond, by a clock that may be set
    time.sleep(0.1)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(run, range(1, 9)))
    assert len(done) == 2
    charge(job(9))
    assert len(done) == 2


def test_runs_at_once_over_redis(redis_inbox: RedisInboxStore) -> None:
    check(redis_inbox)


def test_runs_at_once_over_a_database(engine: Engine) -> None:
    check(InboxStore(sessionmaker(engine)))


async def test_an_async_function_over_an_async_inbox() -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with engine.begin() as connection:
        await connection.run_sync(create_tables)
    done: list[str] = []

    @idempotent(key="order_id", inbox=AsyncInboxStore(async_sessionmaker(engine)))
    async def charge(job: Job) -> None:
        done.append(job.id)
        if len(done) == 1:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await charge(job(1))
    time.sleep(0.1)  # noqa: ASYNC251 - as above
    for number in (2, 3):
        await charge(job(number))
    assert done == ["1", "2"]
    await engine.dispose()


CHILD = """
import asyncio, sys, redis
from svcjobs import RedisJobQueue, idempotent, process_one
from svcjobs.db.inbox import RedisInboxStore

url, prefix = sys.argv[1:]
client = redis.Redis.from_url(url)

@idempotent(key="order_id", inbox=RedisInboxStore(client, prefix=f"{prefix}:inbox"), claim_seconds=4, name="charge")
async def charge(job):
    print("begun", flush=True)
    await asyncio.sleep(60)

asyncio.run(process_one(RedisJobQueue(client, prefix=prefix, visibility_timeout=1), charge))
"""


def begin_and_kill(server: RedisServer, prefix: str) -> float:
    """Kill a process in the middle of the job; returns when that had begun, on the monotonic clock."""
    arguments = [sys.executable, "-c", CHILD, server.url, prefix]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        begun = time.monotonic()
        child.kill()
    return begun


async def test_after_a_kill_in_the_middle_the_next_delivery_waits_for_the_claim_and_then_runs(
    redis_server: RedisServer, redis_client: redis.Redis, redis_inbox: RedisInboxStore, prefix: str
) -> None:
    runs: list[tuple[int, float]] = []

    @idempotent(key="order_id", inbox=redis_inbox, claim_seconds=4, name="charge")
    def charge(job: Job) -> None:
        runs.append((job.attempts, time.monotonic()))

    with closing(RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=1)) as queue:
        queue.enqueue("charge", {"order_id": 7})
        begun = begin_and_kill(redis_server, prefix)
        postponed: list[Any] = []

        async def is_done() -> bool:
            if await process_one(queue, charge) and not runs:
                postponed.append(queue.get("1"))
            return queue.get("1") is None

        while not await is_done():
            assert time.monotonic() < begun + 60
    ((attempt, at),) = runs
    assert at - begun > 3
    assert attempt == 2, "the killed attempt was charged, the wait for its claim wasn't"
    assert all(waiting.attempts == 1 for waiting in postponed)
    assert postponed
