"""process_one: what each way of ending does to the job."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import fakeredis
import pytest
from pydantic import BaseModel

from svcjobs import worker
from svcjobs.clock import MovableClock
from svcjobs.errors import DeadLetter, RetryLater, UnknownJobError
from svcjobs.execution import execute
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.redis_queue import AsyncRedisJobQueue
from svcjobs.registry import JobRegistry, JobResult
from svcjobs.settlement import Ack, Bury, Fail
from svcjobs.threads import Threads
from svcjobs.worker import process_one

TIMEOUT = "JOB_DEFAULT_TIMEOUT_SECONDS"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue()


@pytest.fixture(autouse=True)
def without_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TIMEOUT, raising=False)


def raising(error: BaseException) -> Callable[[Job], Any]:
    async def handler(job: Job) -> None:
        raise error

    return handler


async def test_an_empty_queue_has_nothing_to_process(queue: InMemoryJobQueue) -> None:
    assert await process_one(queue, raising(AssertionError())) is False


async def test_a_handler_that_returns_acks_its_job(queue: InMemoryJobQueue) -> None:
    seen: list[dict[str, Any]] = []
    queue.enqueue("greet", {"name": "Ada"})
    assert await process_one(queue, lambda job: seen.append(job.payload)) is True
    assert seen == [{"name": "Ada"}]
    assert queue.get("1") is None
    assert queue.stats().totals["acked"] == 1


async def test_a_handler_that_raises_fails_its_job_with_type_and_message(queue: InMemoryJobQueue) -> None:
    queue.enqueue("greet", {}, max_attempts=2, backoff_seconds=30)
    assert await process_one(queue, raising(ValueError("no such name"))) is True
    job = queue.get("1")
    assert job is not None
    assert job.last_error == "ValueError: no such name"
    assert queue.stats().delayed == 1


async def test_the_last_failure_buries_the_job_with_its_traceback(queue: InMemoryJobQueue) -> None:
    queue.enqueue("greet", {}, max_attempts=1)
    await process_one(queue, raising(ValueError("no")))
    (job,) = queue.dead()
    assert (job.reason, job.last_error) == ("exhausted", "ValueError: no")
    assert "raise error" in (job.traceback or "")


@pytest.mark.parametrize(
    "error", [SystemExit(2), KeyboardInterrupt(), Unprintable(), asyncio.CancelledError(), TimeoutError("mine")]
)
@pytest.mark.parametrize("limit", [None, "5"])
@pytest.mark.parametrize("plain", [True, False], ids=["def", "async def"])
async def test_whatever_a_handler_raises_the_job_fails_and_the_worker_lives(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch, error: BaseException, limit: str | None, plain: bool
) -> None:
    if limit:
        monkeypatch.setenv(TIMEOUT, limit)

    def handler(job: Job) -> None:
        raise error

    queue.enqueue("greet", {})
    assert await process_one(queue, handler if plain else raising(error)) is True
    job = queue.get("1")
    assert job is not None
    assert (job.last_error or "").startswith(type(error).__name__)
    assert queue.stats().delayed == 1


async def test_text_that_utf8_cannot_hold_and_endless_text_are_stored_all_the_same(queue: InMemoryJobQueue) -> None:
    queue.enqueue("greet", {}, max_attempts=1)
    await process_one(queue, raising(ValueError("\ud800" + "x" * 1_000_000)))
    (job,) = queue.dead()
    assert len((job.last_error or "").encode()) < 5_000
    assert len((job.traceback or "").encode()) < 50_000
    assert "\\ud800" in (job.last_error or "")


async def test_an_unsuccessful_result_fails_the_job(queue: InMemoryJobQueue) -> None:
    queue.enqueue("greet", {})
    await process_one(queue, lambda job: JobResult(False, "the server said no"))
    job = queue.get("1")
    assert job is not None
    assert job.last_error == "the server said no"
    assert queue.stats().delayed == 1


async def test_retry_later_sets_the_delay() -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("greet", {}, backoff_seconds=1000)
    await process_one(queue, raising(RetryLater(7, "busy")))
    due_at = queue.stats().next_delayed_at
    assert due_at is not None
    assert due_at.timestamp() == pytest.approx(clock() + 7, abs=0.01)


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), "soon", 10**400])
async def test_a_senseless_delay_gives_way_to_the_jobs_own(delay: Any) -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("greet", {}, backoff_seconds=11)
    await process_one(queue, raising(RetryLater(delay)))
    due_at = queue.stats().next_delayed_at
    assert due_at is not None
    assert due_at.timestamp() == pytest.approx(clock() + 11, abs=0.01)


async def test_a_reason_or_a_message_without_a_text_costs_no_worker(queue: InMemoryJobQueue) -> None:
    said = "(its str() raised RuntimeError)"
    queue.enqueue("greet", {})
    await process_one(queue, raising(DeadLetter("bad", reason=Unprintable())))  # type: ignore[arg-type]
    assert [job.reason for job in queue.dead()] == [said]
    queue.enqueue("greet", {}, max_attempts=1)
    await process_one(queue, lambda job: JobResult(success=False, message=Unprintable()))  # type: ignore[arg-type]
    assert {job.last_error for job in queue.dead()} == {"DeadLetter: bad", said}


async def test_a_dead_letter_is_buried_at_once_with_its_reason(queue: InMemoryJobQueue) -> None:
    queue.enqueue("greet", {}, max_attempts=5)
    await process_one(queue, raising(DeadLetter("that card is stolen", reason="fraud")))
    (job,) = queue.dead()
    assert (job.reason, job.last_error, job.attempts) == ("fraud", "DeadLetter: that card is stolen", 1)


@pytest.mark.scenario(12)
async def test_a_schema_mismatch_is_buried_at_once_with_the_validation_text(queue: InMemoryJobQueue) -> None:
    class Greeting(BaseModel):
        name: str

    registry = JobRegistry()
    registry.register("greet", lambda job, payload: None, payload=Greeting)
    queue.enqueue("greet", {"nom": "Ada"}, max_attempts=5)
    await process_one(queue, registry)
    (job,) = queue.dead()
    assert (job.reason, job.attempts) == ("schema_mismatch", 1)
    assert "name: Field required" in (job.last_error or "")


@pytest.mark.scenario(11)
async def test_a_job_without_a_handler_waits_for_one_and_is_buried_as_unknown_in_the_end() -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("new_in_v2", {}, max_attempts=2, backoff_seconds=1)
    await process_one(queue, JobRegistry())
    assert queue.stats().delayed == 1
    clock.advance(2)
    await process_one(queue, raising(UnknownJobError("new_in_v2")))
    (job,) = queue.dead()
    assert (job.reason, job.attempts) == ("unknown_job", 2)


async def test_a_job_with_a_verdict_is_buried_and_never_run() -> None:
    job = Job(id="1", name="greet", payload={}, verdict="worker_lost", last_error="three workers died")
    execution = await execute(job, raising(AssertionError("it ran")), Threads("test"), None)
    assert execution.settlement == Bury(job, "worker_lost", error="three workers died")
    assert execution.error_type == "worker_lost"


async def test_an_execution_tells_how_long_the_handler_ran() -> None:
    job = Job(id="1", name="greet", payload={})

    async def handler(job: Job) -> None:
        await asyncio.sleep(0.05)

    execution = await execute(job, handler, Threads("test"), None)
    assert execution.settlement == Ack(job)
    assert 0.045 < execution.seconds < 5
    assert execution.error_type is None


# the time limit


async def test_the_time_limit_cancels_the_handler_and_fails_the_job(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TIMEOUT, "0.02")
    cancelled: list[bool] = []

    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    queue.enqueue("greet", {})
    assert await process_one(queue, handler) is True
    assert cancelled == [True]
    job = queue.get("1")
    assert job is not None
    assert job.last_error == "JobTimeoutError: Job greet exceeded timeout of 0.02s"


async def test_the_time_limit_holds_for_plain_functions(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TIMEOUT, "0.02")
    let_go = threading.Event()
    queue.enqueue("greet", {})
    await process_one(queue, lambda job: let_go.wait(10))
    let_go.set()
    assert queue.stats().delayed == 1


async def test_wait_for_is_used_with_the_limit_and_only_with_one(queue: InMemoryJobQueue) -> None:
    async def pass_on(attempt: Any, **limit: float) -> Any:
        return await attempt

    queue.enqueue("greet", {})
    with (
        patch("svcjobs.worker.asyncio.wait_for", side_effect=pass_on) as wait_for,
        patch.dict(os.environ, {TIMEOUT: "30"}),
    ):
        await process_one(queue, lambda job: None)
    assert wait_for.call_count == 1
    assert wait_for.call_args.kwargs == {"timeout": 30.0}
    queue.enqueue("greet", {})
    with patch("svcjobs.worker.asyncio.wait_for") as wait_for:
        await process_one(queue, lambda job: None)
    wait_for.assert_not_called()
    assert queue.stats().totals["acked"] == 2


@pytest.mark.parametrize(("text", "seconds"), [("1.5", 1.5), (" 30 ", 30.0), ("", None), ("  ", None)])
def test_the_limit_is_read_from_the_environment(
    text: str, seconds: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    with patch.dict(os.environ, {TIMEOUT: text}):
        assert worker._get_job_timeout_seconds() == seconds
    assert not caplog.records


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "inf"])
def test_a_limit_that_cannot_be_used_is_none_and_said(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with patch.dict(os.environ, {TIMEOUT: text}), caplog.at_level(logging.WARNING):
        assert worker._get_job_timeout_seconds() is None
    assert TIMEOUT in caplog.text


# the lease


async def test_a_cancelled_call_gives_its_job_back_uncharged(queue: InMemoryJobQueue) -> None:
    started = asyncio.Event()

    async def handler(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    queue.enqueue("greet", {})
    call = asyncio.create_task(process_one(queue, handler))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert queue.stats().ready == 1
    job = queue.get("1")
    assert job is not None
    assert job.attempts == 0


async def test_a_lost_lease_is_said_counted_and_not_raised(
    queue: InMemoryJobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.enqueue("greet", {})

    def settles_itself(job: Job) -> None:
        queue.ack(job)

    with caplog.at_level(logging.WARNING, "svcjobs.worker"):
        assert await process_one(queue, settles_itself) is True
    assert "lease of job 1" in caplog.text
    assert queue.stats().totals["stale"] == 1


@pytest.mark.promise("P4")
async def test_the_lease_of_a_long_job_is_extended() -> None:
    queue = InMemoryJobQueue(visibility_timeout=2.5)
    queue.enqueue("greet", {})
    stolen: list[Job | None] = []

    async def handler(job: Job) -> None:
        for _ in range(60):
            await asyncio.sleep(0.08)
            stolen.append(queue.reserve_next())

    await process_one(queue, handler)
    assert not any(stolen)
    assert queue.stats().totals["acked"] == 1


@pytest.mark.alone
async def test_a_handler_whose_lease_is_lost_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    queue = InMemoryJobQueue(visibility_timeout=0.3)
    queue.enqueue("greet", {})

    async def handler(job: Job) -> None:
        queue.release(job)
        await asyncio.sleep(60)

    began = time.monotonic()
    assert await process_one(queue, handler) is True
    assert time.monotonic() - began < 5
    assert "lost" in caplog.text
    assert queue.stats().ready == 1


# asyncio queues


async def test_an_asyncio_queue_works_the_same(prefix: str) -> None:
    queue = AsyncRedisJobQueue(fakeredis.FakeAsyncRedis(), prefix=prefix)
    await queue.enqueue("good", {})
    await queue.enqueue("bad", {})
    assert await process_one(queue, lambda job: None) is True
    assert await process_one(queue, raising(ValueError("no"))) is True
    assert await process_one(queue, lambda job: None) is False
    stats = await queue.stats()
    assert (stats.totals["acked"], stats.totals["retried"], stats.delayed) == (1, 1, 1)
    await queue.close()


async def test_fail_is_what_a_failure_settles_as() -> None:
    job = Job(id="1", name="greet", payload={}, attempts=1)
    execution = await execute(job, raising(ValueError("no")), Threads("test"), None)
    assert isinstance(execution.settlement, Fail)
    assert execution.error_type == "ValueError"
