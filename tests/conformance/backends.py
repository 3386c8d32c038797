"""The storages that the suite runs over, each as a queue with movable time."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import redis
import redis.asyncio
from fakeredis import FakeRedis

from svcjobs.clock import MovableClock
from svcjobs.memory_server import MemoryServer
from svcjobs.queue import InMemoryJobQueue, JobQueue
from svcjobs.redis_queue import AsyncRedisJobQueue, RedisJobQueue

VISIBILITY_TIMEOUT = 30


@dataclass
class Backend:
    """One storage.

    Args:
        name: memory, fakeredis, redis or async-redis.
        clock: the time that the queues read.
        open: another queue object on the same storage; ``name`` and the rest as the queue's constructor. With
            ``clock=None`` it goes by real time.
        result: what a SetResult left under a key.
        counter: what Counts added up to.
        let_keys_expire: let seconds pass for keys with a time to live (a server counts those by its own clock).
    """

    name: str
    prefix: str
    clock: MovableClock
    open: Callable[..., JobQueue]
    result: Callable[[str], bytes | None]
    counter: Callable[[str, str | None], int]
    let_keys_expire: Callable[[float], None]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)


@contextmanager
def memory_backend(prefix: str) -> Iterator[Backend]:
    clock, server = MovableClock(), MemoryServer()

    def open_queue(name: str = prefix, **options: Any) -> JobQueue:
        settings: dict[str, Any] = {"visibility_timeout": VISIBILITY_TIMEOUT, "clock": clock} | options
        settings["clock"] = settings["clock"] or time.time
        return InMemoryJobQueue(name=name, server=server, **settings)

    yield Backend(
        "memory",
        prefix,
        clock,
        open_queue,
        lambda key: server.result(key, clock()),
        lambda key, field: server.counter(key, field, now=clock()),
        clock.advance,
    )


@contextmanager
def redis_backend(name: str, prefix: str, client: redis.Redis, make: Callable[..., JobQueue]) -> Iterator[Backend]:
    clock = MovableClock()
    opened: list[JobQueue] = []

    def open_queue(name: str = prefix, **options: Any) -> JobQueue:
        settings: dict[str, Any] = {"visibility_timeout": VISIBILITY_TIMEOUT, "clock": clock} | options
        queue = make(prefix=name, **settings)
        opened.append(queue)
        return queue

    def counter(key: str, field: str | None) -> int:
        return int((client.get(key) if field is None else client.hget(key, field)) or 0)

    def result(key: str) -> Any:
        return client.get(key)

    yield Backend(name, prefix, clock, open_queue, result, counter, time.sleep)
    for queue in opened:
        queue.close()


@contextmanager
def fakeredis_backend(prefix: str) -> Iterator[Backend]:
    client = FakeRedis()
    with redis_backend("fakeredis", prefix, client, lambda **options: RedisJobQueue(client, **options)) as backend:
        yield backend
    client.close()


@contextmanager
def server_backend(prefix: str, url: str) -> Iterator[Backend]:
    client = redis.Redis.from_url(url)
    with redis_backend("redis", prefix, client, lambda **options: RedisJobQueue(client, **options)) as backend:
        yield backend
    client.close()


@contextmanager
def async_backend(prefix: str, url: str) -> Iterator[Backend]:
    """AsyncRedisJobQueue, driven from sync code: its loop runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    reader = redis.Redis.from_url(url)
    client = redis.asyncio.Redis.from_url(url)

    def make(**options: Any) -> JobQueue:
        return cast("JobQueue", Driven(AsyncRedisJobQueue(client, **options), loop))

    with redis_backend("async-redis", prefix, reader, make) as backend:
        yield backend
    reader.close()
    asyncio.run_coroutine_threadsafe(client.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Driven:
    """An object whose coroutine methods are called as plain ones."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not inspect.iscoroutinefunction(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(value(*args, **kwargs), self._loop).result()

        return call
