"""The guide's section "Testing": the tests that an application writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from unittest.mock import AsyncMock

import pytest
from fakeredis import FakeRedis

from svcjobs.queue import InMemoryJobQueue, Job
from svcjobs.redis_queue import RedisJobQueue


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue()


async def test_a_job_goes_through_the_queue_in_memory(queue: InMemoryJobQueue) -> None:
    job = queue.enqueue("test_job", {"key": "value"})
    assert job.id == "1"
    reserved = queue.reserve_next()
    assert reserved is not None
    assert (reserved.id, reserved.payload) == (job.id, {"key": "value"})
    queue.ack(job.id)
    assert queue.reserve_next() is None
    assert queue.get("1") is None


@pytest.fixture
def fake_queue() -> Iterator[RedisJobQueue]:
    queue = RedisJobQueue(FakeRedis(), prefix="test")
    yield queue
    queue.close()


async def test_a_delayed_job_waits_on_fakeredis(fake_queue: RedisJobQueue) -> None:
    fake_queue.enqueue("delayed", {}, delay_seconds=60)
    assert fake_queue.reserve_next() is None
    assert fake_queue.stats().delayed == 1


def test_a_job_that_fails_on_fakeredis_dies_with_its_last_attempt() -> None:
    client = FakeRedis()
    queue = RedisJobQueue(client, prefix="test", visibility_timeout=0)
    queue.enqueue("test_job", {}, max_attempts=1)
    job = queue.reserve_next()
    assert job is not None
    queue.fail(job.id, error="no")
    assert client.llen("test:dlq") == 1
    queue.close()


@pytest.fixture
def sample_job() -> Job:
    return Job(id="1", name="send_email", payload={"to": "ada@example.com"}, available_at=datetime.now(UTC))


async def test_a_handler_is_called_with_a_job_that_no_queue_made(sample_job: Job) -> None:
    send = AsyncMock()

    async def handle_send_email(job: Job) -> None:
        await send(job.payload["to"])

    await handle_send_email(sample_job)
    send.assert_awaited_once_with("ada@example.com")
    assert (sample_job.attempts, sample_job.max_attempts, sample_job.backoff_seconds) == (0, 5, 60)


def test_a_job_may_be_changed(sample_job: Job) -> None:
    sample_job.max_attempts = 1
    sample_job.payload["to"] = "grace@example.com"
    assert (sample_job.max_attempts, sample_job.payload) == (1, {"to": "grace@example.com"})


def test_a_job_needs_only_id_name_and_payload() -> None:
    job = Job(id="1", name="send_email", payload={})
    assert job.available_at.tzinfo is UTC
    assert (job.attempts, job.last_error, job.lease) == (0, None, None)
