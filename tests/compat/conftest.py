"""What the guide's snippets run on: an environment without our variables, a server, and processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.servers import RedisServer


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's own reaches a test."""
    for name in list(os.environ):
        if name.startswith(("JOBS_", "JOB_", "REDIS_", "UPSTASH_")):
            monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder: the current one, and importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def stored(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    """A queue on the real server."""
    queue = RedisJobQueue(redis_client, prefix=prefix)
    yield queue
    queue.close()


@pytest.fixture
def on_redis(redis_server: RedisServer, prefix: str) -> dict[str, str]:
    """The environment of a process whose default queue is :func:`stored`."""
    return {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}
