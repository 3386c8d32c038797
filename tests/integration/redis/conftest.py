"""Queues on the shared server for one test, and the means to break their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue

QueueFactory = Callable[..., RedisJobQueue]


@pytest.fixture
def new_queue(prefix: str) -> Iterator[QueueFactory]:
    """``new_queue(client, **options)``: a queue with the test's prefix, closed after it."""
    queues: list[RedisJobQueue] = []

    def make(client: Any, **options: Any) -> RedisJobQueue:
        queue = RedisJobQueue(client, **({"prefix": prefix} | options))
        queues.append(queue)
        return queue

    yield make
    for queue in queues:
        queue.close()


@pytest.fixture
def queue(new_queue: QueueFactory, redis_client: redis.Redis) -> RedisJobQueue:
    """A queue on the shared server."""
    return new_queue(redis_client)
