"""What code and tests written for the original library rely on beyond the guide."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from fakeredis import FakeRedis

import svcjobs
from svcjobs import easy
from svcjobs.leadership import RedisSchedulerLeader
from svcjobs.loader import _resolve_target
from svcjobs.queue import InMemoryJobQueue, Job
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.registry import JobRegistry, JobResult, JobTimeoutError, UnknownJobError
from svcjobs.runner import WorkerRunner
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.worker import _get_job_timeout_seconds, process_one

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def test_the_package_has_the_names_of_the_recommended_import() -> None:
    assert (svcjobs.Job, svcjobs.JobRegistry, svcjobs.JobResult) == (Job, JobRegistry, JobResult)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("easy", ["easy_jobs", "JobsConfig"]),
        ("queue", ["Job", "JobQueue", "InMemoryJobQueue"]),
        ("redis_queue", ["RedisJobQueue"]),
        ("worker", ["process_one"]),
        ("runner", ["WorkerRunner"]),
        ("scheduler", ["InMemoryScheduler"]),
        ("loader", ["schedule_from_env"]),
        ("registry", ["JobRegistry", "JobResult", "UnknownJobError", "JobTimeoutError"]),
        ("builtins.webhook_delivery", ["make_webhook_handler"]),
        ("builtins.outbox_processor", ["make_outbox_tick"]),
        ("db.outbox", ["OutboxStore"]),
        ("db.inbox", ["InboxStore"]),
    ],
)
def test_each_documented_module_has_its_names(module: str, names: list[str]) -> None:
    imported = __import__(f"svcjobs.{module}", fromlist=names)
    for name in names:
        assert callable(getattr(imported, name))


async def test_a_task_of_the_scheduler_is_found_by_name_and_has_a_next_run() -> None:
    scheduler = InMemoryScheduler(now_provider=lambda: NOW)
    ran: list[str] = []

    async def work() -> None:
        ran.append("work")

    scheduler.add_task("interval", 300, work)
    scheduler.add_cron("cron", "0 * * * *", work)
    assert scheduler._tasks["interval"].next_run_at > NOW
    assert scheduler._tasks["cron"].next_run_at == datetime(2026, 3, 1, 13, 0, tzinfo=UTC)
    # its time is moved up by hand
    scheduler._tasks["interval"].next_run_at = NOW - timedelta(seconds=1)
    await scheduler.tick()
    assert ran == ["work"]


async def test_interval_0_runs_at_each_tick() -> None:
    scheduler = InMemoryScheduler()
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    scheduler.add_task("each", 0, work)
    await scheduler.tick()
    await scheduler.tick()
    assert len(ran) == 2


@pytest.mark.parametrize("when", [{"interval_seconds": 60}, {"cron": "* * * * *"}])
@pytest.mark.parametrize("method", ["add_job", "add"])
async def test_the_scheduler_enqueues_jobs(when: dict[str, Any], method: str) -> None:
    now = [NOW]
    scheduler, queue = InMemoryScheduler(now_provider=lambda: now[0]), InMemoryJobQueue()
    getattr(scheduler, method)("report", job_queue=queue, job_name="make_report", payload={"kind": "daily"}, **when)
    now[0] = NOW + timedelta(seconds=60)
    await scheduler.tick()
    job = queue.reserve_next()
    assert job is not None
    assert (job.name, job.payload) == ("make_report", {"kind": "daily"})


def test_one_leader_at_a_time_and_the_key_is_given_back() -> None:
    client = FakeRedis()
    first = RedisSchedulerLeader(client, key="lead", lease_seconds=30, owner_id="one")
    second = RedisSchedulerLeader(client, key="lead", lease_seconds=30, owner_id="two")
    assert first.ensure_leader()
    assert not second.ensure_leader()
    assert first.ensure_leader()
    assert client.get("lead") == b"one"
    assert 0 < client.ttl("lead") <= 30
    first.release()
    assert second.ensure_leader()
    first.close()
    second.close()


def test_the_configuration_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert easy.JobsConfig().driver == "memory"
    assert easy.JobsConfig(driver="redis").driver == "redis"
    monkeypatch.setenv("JOBS_DRIVER", "REDIS")
    assert easy.JobsConfig().driver == "redis"
    config = easy.JobsConfig(scheduler_coordination="off", scheduler_lease_seconds=5, scheduler_lease_key="k")
    assert (config.scheduler_coordination, config.scheduler_lease_seconds) == ("off", 5)
    assert config.scheduler_lease_key == "k"


def test_the_redis_client_can_be_replaced_in_easy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://redis.example.com:6380/2")
    with patch("svcjobs.easy.Redis") as client_class:
        queue, scheduler = easy.easy_jobs(driver="redis")
    client_class.from_url.assert_called_once_with("redis://redis.example.com:6380/2")
    assert isinstance(queue, RedisJobQueue)
    assert isinstance(scheduler, InMemoryScheduler)


async def test_wait_for_can_be_replaced_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "30")
    queue = InMemoryJobQueue()
    queue.enqueue("slow_job", {})

    async def never_in_time(awaitable: Any, timeout: float) -> None:  # noqa: ASYNC109  # as wait_for has it
        awaitable.close()
        raise TimeoutError

    with patch("svcjobs.worker.asyncio.wait_for", never_in_time):
        assert await process_one(queue, AsyncMock())
    left = queue.get("1")
    assert left is not None
    assert left.last_error is not None
    assert "slow_job exceeded timeout of 30.0s" in left.last_error


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("", None), ("30", 30.0), ("0.5", 0.5), ("soon", None), ("0", None)]
)
def test_the_limit_of_the_environment(monkeypatch: pytest.MonkeyPatch, text: str | None, seconds: float | None) -> None:
    if text is not None:
        monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", text)
    assert _get_job_timeout_seconds() == seconds


def test_a_visibility_timeout_of_0_lets_a_job_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeRedis()
    queue = RedisJobQueue(client, prefix="t", visibility_timeout=0)
    job = queue.enqueue("work", {})
    client.hset(f"t:job:{job.id}", "max_attempts", 1)
    reserved = queue.reserve_next()
    assert reserved is not None
    queue.fail(reserved.id, error="no")
    assert client.llen("t:dlq") == 1
    queue.close()


async def test_the_texts_of_the_errors() -> None:
    registry = JobRegistry()

    @registry.handler("slow_job")
    async def slow(job: Job) -> JobResult:
        await asyncio.sleep(3600)
        raise AssertionError

    with pytest.raises(UnknownJobError, match="Unknown job type: x"):
        await registry.dispatch(Job(id="1", name="x", payload={}))
    with pytest.raises(JobTimeoutError, match=r"slow_job exceeded timeout of 0\.01s"):
        await registry.dispatch(Job(id="1", name="slow_job", payload={}), timeout=0.01)
    error = JobTimeoutError("slow_job", 30.0)
    assert (error.job_name, error.timeout) == ("slow_job", 30.0)
    assert "slow_job exceeded timeout of 30.0s" in str(error)
    assert UnknownJobError("x").job_name == "x"


def test_a_resolved_target_is_a_coroutine_function() -> None:
    assert inspect.iscoroutinefunction(_resolve_target("math:floor"))
    with pytest.raises(ValueError, match="module:function"):
        _resolve_target("math")


async def test_a_handler_that_succeeds_is_acked_and_one_that_raises_is_failed() -> None:
    queue = InMemoryJobQueue()
    done, fails = queue.enqueue("done", {}), queue.enqueue("fails", {})
    handler = AsyncMock(side_effect=[None, ValueError("wrong")])
    assert await process_one(queue, handler)
    assert await process_one(queue, handler)
    assert not await process_one(queue, handler)
    assert queue.get(done.id) is None
    left = queue.get(fails.id)
    assert left is not None
    assert left.last_error is not None
    assert "wrong" in left.last_error


async def test_verbs_take_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("a", {})
    queue.enqueue("b", {})
    first, second = queue.reserve_next(), queue.reserve_next()
    assert first is not None
    assert second is not None
    queue.ack(first.id)
    queue.fail(second.id, error="no")
    assert queue.get("1") is None
    left = queue.get("2")
    assert left is not None
    assert left.last_error == "no"


async def test_a_runner_that_never_started_can_be_stopped() -> None:
    await WorkerRunner(InMemoryJobQueue(), AsyncMock()).stop()


async def test_a_mocked_queue_is_asked_and_acked() -> None:
    job = Job(id="7", name="work", payload={})
    queue = MagicMock(spec=InMemoryJobQueue)
    queue.visibility_timeout = 60
    queue.reserve_next.return_value = job
    assert await process_one(queue, AsyncMock())
    queue.ack.assert_called_once_with(job)
    queue.fail.assert_not_called()
