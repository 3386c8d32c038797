"""An enqueue that waits until replicas have the job."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.errors import ConfigurationError, QueueUnavailable, TooFewReplicas
from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.proxy import RedisProxy
from tests.server_program import ServerProgram
from tests.servers import Cluster, RedisServer, start_replica

pytestmark = pytest.mark.promise("P1")


@pytest.fixture(scope="module")
def primary(server_program: ServerProgram) -> Iterator[RedisServer]:
    with RedisServer(server_program, config={"repl-diskless-sync-delay": "0"}) as server:
        yield server


@pytest.fixture(scope="module")
def replica(primary: RedisServer) -> Iterator[RedisServer]:
    with start_replica(primary) as server:
        with primary.client(single_connection_client=True) as client:
            client.set("written", "")
            assert client.wait(1, 5_000) == 1
        yield server


Enqueue = Callable[[str, int], None]


@pytest.fixture(params=["sync", "async"])
def enqueue(request: pytest.FixtureRequest, primary: RedisServer, replica: RedisServer, prefix: str) -> Enqueue:
    """``enqueue(job_id, replicas)`` on a queue of its own."""

    def sync(job_id: str, replicas: int) -> None:
        queue = RedisJobQueue(primary.client(), prefix=prefix, replicas=replicas, timeout_seconds=1.8)
        try:
            queue.enqueue("work", job_id=job_id)
        finally:
            queue.close()

    async def awaited(job_id: str, replicas: int) -> None:
        client = redis.asyncio.Redis.from_url(primary.url)
        queue = AsyncRedisJobQueue(client, prefix=prefix, replicas=replicas, timeout_seconds=1.8)
        try:
            await queue.enqueue("work", job_id=job_id)
        finally:
            await queue.close()
            await client.aclose()

    return sync if request.param == "sync" else lambda *arguments: asyncio.run(awaited(*arguments))


def test_the_replica_has_what_was_acknowledged(
    enqueue: Enqueue, primary: RedisServer, replica: RedisServer, prefix: str
) -> None:
    primary.client().script_flush()
    for n in range(20):
        enqueue(f"a{n}", 1)
        assert replica.client().exists(f"{prefix}:job:a{n}")


@pytest.mark.alone
def test_too_few_replicas_are_a_typed_error_in_time(enqueue: Enqueue, primary: RedisServer, prefix: str) -> None:
    began = time.monotonic()
    with pytest.raises(TooFewReplicas, match="1 replicas have stored the job in time, 2 were asked for") as caught:
        enqueue("a", 2)
    assert time.monotonic() - began < 2.5
    assert (caught.value.wanted, caught.value.acknowledged) == (2, 1)
    assert isinstance(caught.value, QueueUnavailable)
    assert primary.client().llen(f"{prefix}:ready") == 1  # "it may run"


def test_a_repeat_waits_for_the_writes_of_the_first_try(
    primary: RedisServer, replica: RedisServer, prefix: str
) -> None:
    """Its reply is lost, and it is repeated on a new connection, while the replica stands still."""
    replica.pause()
    try:
        with RedisProxy(primary.port) as proxy:
            queue = RedisJobQueue(redis.Redis.from_url(proxy.url), prefix=prefix, replicas=1, timeout_seconds=1.8)
            proxy.swallow_reply(containing=b"EVAL", close=True)
            with pytest.raises(TooFewReplicas):
                queue.enqueue("work", job_id="a")
            assert proxy.swallowed == 1
            queue.close()
    finally:
        replica.resume()
    assert primary.client().llen(f"{prefix}:ready") == 1


def test_a_late_replica_is_waited_for(primary: RedisServer, replica: RedisServer, prefix: str) -> None:
    """Longer than one WAIT lasts, and the jobs are stored once."""
    queue = RedisJobQueue(primary.client(), prefix=prefix, replicas=1, timeout_seconds=6)
    replica.pause()
    later = threading.Timer(1.2, replica.resume)
    later.start()
    queue.enqueue_many([NewJob("work") for _ in range(700)])
    later.join()
    assert replica.client().llen(f"{prefix}:ready") == 700
    queue.close()


@pytest.mark.parametrize("replicas", [-1, 1.5, True])
def test_a_number_of_replicas_that_is_none_is_refused(replicas: Any) -> None:
    with pytest.raises(ConfigurationError, match="replicas is"):
        RedisJobQueue(redis.Redis(), replicas=replicas)


def test_a_cluster_is_told_that_it_cant_be_asked_for(cluster: Cluster) -> None:
    with pytest.raises(ConfigurationError, match="Redis Cluster"):
        RedisJobQueue(cluster.client(), replicas=1)
