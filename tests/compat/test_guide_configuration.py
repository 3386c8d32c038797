"""The guide's section "Configuration", with the defaults of its table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from svcjobs.easy import easy_jobs
from svcjobs.errors import ConfigurationError, JobTimeoutError
from svcjobs.loader import schedule_from_env
from svcjobs.queue import InMemoryJobQueue, Job
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settings import default_timeout_seconds, redis_url
from svcjobs.worker import process_one
from tests.compat.program import SVCJOBS, run
from tests.servers import RedisServer

Environment = Callable[[str, str], None]


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> Environment:
    return monkeypatch.setenv


def test_the_driver_is_memory_by_default() -> None:
    assert isinstance(easy_jobs()[0], InMemoryJobQueue)


def test_commands_go_by_the_same_default(folder: Path) -> None:
    done = run([SVCJOBS, "status"], folder, {})
    assert done.returncode == 78
    assert "the memory driver keeps jobs inside one process" in done.stderr


def test_the_url_is_the_local_server_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    client_class = MagicMock()
    monkeypatch.setattr("svcjobs.easy.Redis", client_class)
    easy_jobs(driver="redis")
    client_class.from_url.assert_called_once_with("redis://localhost:6379/0")
    assert redis_url() == "redis://localhost:6379/0"


def test_a_job_may_run_without_limit_by_default() -> None:
    assert default_timeout_seconds() is None


def test_the_schedule_is_empty_by_default() -> None:
    _, scheduler = easy_jobs()
    assert schedule_from_env(scheduler) == []
    assert scheduler.tasks == []


def test_the_environment_selects_memory(setenv: Environment) -> None:
    setenv("JOBS_DRIVER", "memory")
    assert isinstance(easy_jobs()[0], InMemoryJobQueue)


def test_the_environment_selects_redis(setenv: Environment, redis_server: RedisServer, prefix: str) -> None:
    setenv("JOBS_DRIVER", "redis")
    setenv("REDIS_URL", redis_server.url)
    setenv("JOBS_PREFIX", prefix)
    queue, scheduler = easy_jobs()
    try:
        assert isinstance(queue, RedisJobQueue)
        job = queue.enqueue("send_email", {"to": "ada@example.com"})
        assert redis_server.client().hget(f"{prefix}:job:{job.id}", "name") == b"send_email"
        assert scheduler.tasks == []
    finally:
        queue.close()


def test_the_argument_wins_over_the_environment(setenv: Environment, redis_server: RedisServer) -> None:
    setenv("JOBS_DRIVER", "redis")
    setenv("REDIS_URL", redis_server.url)
    assert isinstance(easy_jobs(driver="memory")[0], InMemoryJobQueue)
    setenv("JOBS_DRIVER", "memory")
    queue, _ = easy_jobs(driver="redis")
    queue.close()
    assert isinstance(queue, RedisJobQueue)


def test_an_unknown_driver_is_an_error_that_names_the_known_ones(setenv: Environment) -> None:
    setenv("JOBS_DRIVER", "kafka")
    with pytest.raises(ConfigurationError, match="'memory' or 'redis'"):
        easy_jobs()


async def test_the_timeout_of_the_environment_ends_a_job(setenv: Environment) -> None:
    setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "0.05")
    queue = InMemoryJobQueue()
    job = queue.enqueue("slow_job", {})

    async def handle(job: Job) -> None:
        await asyncio.sleep(30)

    assert await process_one(queue, handle)
    left = queue.get(job.id)
    assert left is not None
    assert left.last_error == f"JobTimeoutError: {JobTimeoutError('slow_job', 0.05)}"
