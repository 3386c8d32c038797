"""The guide's section "Enqueueing Jobs"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from svcjobs.clock import MovableClock
from svcjobs.easy import easy_jobs
from svcjobs.queue import InMemoryJobQueue, Job
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually


def test_a_job_takes_a_payload_of_any_json() -> None:
    queue, _ = easy_jobs()
    simple = queue.enqueue("process_order", {"order_id": 123})
    rich = queue.enqueue("notify", {"user_id": 456, "message": "It is ready", "channels": ["email", None, 1.5]})
    assert (simple.id, rich.id) == ("1", "2")
    first, second = queue.reserve_next(), queue.reserve_next()
    assert first is not None
    assert second is not None
    assert first.payload == {"order_id": 123}
    assert second.payload == {"user_id": 456, "message": "It is ready", "channels": ["email", None, 1.5]}


@pytest.mark.parametrize("delay_seconds", [300, 3600])
def test_a_delayed_job_is_there_when_its_time_comes(delay_seconds: int) -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    job = queue.enqueue("remind", {"user_id": 123}, delay_seconds=delay_seconds)
    clock.advance(delay_seconds - 1)
    assert queue.reserve_next() is None
    clock.advance(1)
    reserved = queue.reserve_next()
    assert reserved is not None
    assert reserved.id == job.id


def test_a_delayed_job_waits_in_redis(stored: RedisJobQueue) -> None:
    stored.enqueue("remind", {"user_id": 122}, delay_seconds=600)
    assert stored.reserve_next() is None
    before = datetime.now(UTC)
    job = stored.enqueue("remind", {"user_id": 123}, delay_seconds=1)
    after = datetime.now(UTC)
    reserved = eventually(stored.reserve_next)
    assert reserved is not None
    assert reserved.id == job.id
    due_at, tolerance = reserved.available_at - timedelta(seconds=1), timedelta(milliseconds=100)
    assert before - tolerance <= due_at <= after + tolerance
    assert datetime.now(UTC) >= reserved.available_at - tolerance, "not before its time"


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_job_has_the_documented_properties(kind: str, request: pytest.FixtureRequest) -> None:
    queue = InMemoryJobQueue() if kind == "memory" else request.getfixturevalue("stored")
    before = datetime.now(UTC)
    job: Job = queue.enqueue("my_job", {"key": "value"})
    assert job.id == "1"
    assert job.name == "my_job"
    assert job.payload == {"key": "value"}
    assert abs(job.available_at - before) < timedelta(seconds=5)
    assert (job.attempts, job.max_attempts, job.backoff_seconds, job.last_error) == (0, 5, 60, None)


def test_last_error_is_the_one_of_the_last_failed_attempt() -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("my_job", {})
    for number in (1, 2):
        job = queue.reserve_next()
        assert job is not None
        assert job.attempts == number
        queue.fail(job, error=f"reason {number}")
        clock.advance(3600)
    left = queue.get("1")
    assert left is not None
    assert left.last_error == "reason 2"
