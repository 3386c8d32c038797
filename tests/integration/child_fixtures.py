"""Fixtures for tests of worker children: a queue, and a way to start children on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.child_process import ChildProcess
from tests.servers import RedisServer

Start = Callable[..., ChildProcess]


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


@pytest.fixture
def start(tmp_path: Path, prefix: str, redis_server: RedisServer) -> Iterator[Start]:
    """Starts a child, and returns when its start-up hook has run."""
    started: list[ChildProcess] = []

    def start(pool: str = "async", **options: Any) -> ChildProcess:
        child = ChildProcess(tmp_path, {"url": redis_server.url, "prefixes": [prefix], "pool": pool} | options)
        started.append(child)
        child.noted("startup", len(started))
        return child

    yield start
    for child in started:
        child.close()
