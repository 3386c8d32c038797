"""The guide's section "Reliability"."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from svcjobs.clock import MovableClock
from svcjobs.db.inbox import InboxStore
from svcjobs.db.tables import create_tables
from svcjobs.queue import InMemoryJobQueue, Job, JobQueue
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.worker import process_one
from tests.eventually import eventually
from tests.servers import RedisServer


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(params=["memory", "redis"])
def queue(request: pytest.FixtureRequest, clock: MovableClock) -> Iterator[JobQueue]:
    """The same on both backends, by a clock that the test moves."""
    if request.param == "memory":
        yield InMemoryJobQueue(clock=clock)
        return
    prefix = request.getfixturevalue("prefix")
    queue = RedisJobQueue(request.getfixturevalue("redis_client"), prefix=prefix, clock=clock)
    yield queue
    queue.close()


def test_the_snippet_makes_a_queue_on_the_documented_keys(redis_server: RedisServer, prefix: str) -> None:
    client = redis.Redis.from_url(redis_server.url)
    queue = RedisJobQueue(client, prefix=prefix, visibility_timeout=60)
    try:
        queue.enqueue("work", {})
        assert queue.visibility_timeout == 60
        assert client.lrange(f"{prefix}:ready", 0, -1) == [b"1"]
    finally:
        queue.close()
        client.close()


def test_the_prefix_is_jobs_and_the_timeout_a_minute_by_default(redis_client: redis.Redis) -> None:
    queue = RedisJobQueue(redis_client)
    assert (queue.name, queue.visibility_timeout) == ("jobs", 60)


def test_a_job_without_ack_is_handed_out_again(queue: JobQueue, clock: MovableClock) -> None:
    queue.enqueue("work", {})
    first = queue.reserve_next()
    assert first is not None
    clock.advance(59)
    assert queue.reserve_next() is None
    clock.advance(2)
    again = queue.reserve_next()
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)


@pytest.mark.alone
def test_it_is_handed_out_again_by_the_servers_own_clock(redis_client: redis.Redis, prefix: str) -> None:
    queue = RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=0.2)
    queue.enqueue("work", {})
    began = time.time()  # the server's clock: another one may go otherwise
    first = queue.reserve_next()
    assert first is not None
    again = eventually(queue.reserve_next)
    assert 0.2 <= time.time() - began < 5
    assert again is not None
    assert again.id == first.id
    queue.close()


def test_the_delay_grows_by_the_backoff_at_each_attempt(queue: JobQueue, clock: MovableClock) -> None:
    job_id = queue.enqueue("work", {}).id  # 5 attempts, 60 seconds
    delays = []
    for attempt in range(1, 6):
        job = queue.reserve_next()
        assert job is not None
        assert job.attempts == attempt
        queue.fail(job, error=f"attempt {attempt}")
        left = queue.get(job_id)
        assert left is not None
        if left.dead_at is None:
            delay = round(left.available_at.timestamp() - clock())
            delays.append(delay)
            clock.advance(delay - 1)
            assert queue.reserve_next() is None
            clock.advance(1)
    assert delays == [60, 120, 180, 240]
    assert [(job.id, job.last_error) for job in queue.dead()] == [(job_id, "attempt 5")]


@pytest.mark.parametrize("how", ["at enqueue", "by the handler", "by hand"])
def test_limits_can_be_set_for_a_job(how: str, redis_client: redis.Redis, prefix: str, clock: MovableClock) -> None:
    queue = RedisJobQueue(redis_client, prefix=prefix, clock=clock)
    given = {"max_attempts": 2, "backoff_seconds": 7} if how == "at enqueue" else {}
    job_id = queue.enqueue("work", {}, **given).id  # type: ignore[arg-type]
    if how == "by hand":
        redis_client.hset(f"{prefix}:job:{job_id}", mapping={"max_attempts": 2, "backoff_seconds": 7})
    for _ in range(2):
        job = queue.reserve_next()
        assert job is not None
        if how == "by the handler":
            job.max_attempts, job.backoff_seconds = 2, 7
        queue.fail(job, error="no")
        clock.advance(7)
    assert [job.id for job in queue.dead()] == [job_id]
    queue.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_dead_can_be_read_with_a_client_that_decodes(redis_server: RedisServer, prefix: str, protocol: int) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True, protocol=protocol)
    queue = RedisJobQueue(client, prefix=prefix)
    queue.enqueue("work", {"to": "ada"}, max_attempts=1)
    job = queue.reserve_next()
    assert job is not None
    queue.fail(job.id, error="it broke")
    told = []
    for job_id in client.lrange(f"{prefix}:dlq", 0, -1):
        data = client.hgetall(f"{prefix}:job:{job_id}")
        told.append(f"{job_id}: {data.get('last_error')}")
    assert told == ["1: it broke"]
    queue.close()
    client.close()


async def test_an_inbox_keeps_a_job_from_having_its_effect_twice(tmp_path: object) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    create_tables(engine)
    sent: list[str] = []

    async def send_once(job: Job, inbox: InboxStore) -> None:
        key = f"email:{job.id}"
        if inbox.is_marked(key):
            return
        sent.append(job.payload["to"])
        inbox.mark(key)

    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("send_email", {"to": "ada"})
    with Session(engine) as session:
        inbox = InboxStore(session)
        lost = queue.reserve_next()  # by a worker that dies after its work and before its ack
        assert lost is not None
        await send_once(lost, inbox)
        clock.advance(61)

        async def handle(job: Job) -> None:
            await send_once(job, inbox)

        assert await process_one(queue, handle)
    engine.dispose()
    assert sent == ["ada"]
    assert queue.stats().in_flight == 0
