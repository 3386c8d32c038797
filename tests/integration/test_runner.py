"""The runner on a real server, with a sync and with an asyncio queue, and what happens when the server goes away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job
from svcjobs.metrics import Metrics
from svcjobs.redis_queue import AsyncRedisJobQueue, RedisJobQueue
from svcjobs.runner import WorkerRunner
from svcjobs.worker import process_one
from tests.eventually import eventually_async
from tests.servers import RedisServer

MakeQueue = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def producer(redis_server: RedisServer, prefix: str) -> Iterator[RedisJobQueue]:
    queue = RedisJobQueue(redis_server.client(), prefix=prefix)
    yield queue
    queue.close()


@pytest.fixture(params=["sync queue", "asyncio queue"])
async def make_queue(request: pytest.FixtureRequest) -> AsyncIterator[MakeQueue]:
    """Makes the worker's queue on a server."""
    closing: list[Any] = []

    def make(server: RedisServer, prefix: str, **options: Any) -> Any:
        if request.param == "sync queue":
            client = redis.Redis.from_url(server.url, client_name=prefix)
            closing.append(RedisJobQueue(client, prefix=prefix, **options))
        else:
            client = redis.asyncio.Redis.from_url(server.url, client_name=prefix)
            closing.append(AsyncRedisJobQueue(client, prefix=prefix, **options))
        return closing[-1]

    yield make
    for queue in closing:
        closed = queue.close()
        if closed is not None:
            await closed


@asynccontextmanager
async def running(*arguments: Any, **options: Any) -> AsyncIterator[WorkerRunner]:
    runner = WorkerRunner(*arguments, **options)
    runner.start()
    try:
        yield runner
    finally:
        await runner.stop(grace_seconds=0)


async def sleeps(job: Job) -> None:
    await asyncio.sleep(job.payload.get("seconds", 60))


async def enqueue(queue: RedisJobQueue, *arguments: Any, **options: Any) -> Job:
    """From a thread, as a producer elsewhere does: the event loop goes on."""
    return await asyncio.to_thread(queue.enqueue, *arguments, **options)


async def test_every_job_runs_once(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str, make_queue: MakeQueue
) -> None:
    for number in range(500):
        producer.enqueue("add", {"number": number})
    seen: list[int] = []
    async with running(make_queue(redis_server, prefix), lambda job: seen.append(job.payload["number"]), concurrency=8):
        await eventually_async(lambda: producer.stats().totals["acked"] == 500, 20)
    assert sorted(seen) == list(range(500))
    assert producer.stats().totals["stale"] == 0


async def test_process_one_settles(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str, make_queue: MakeQueue
) -> None:
    queue = make_queue(redis_server, prefix)
    producer.enqueue("good", {})
    producer.enqueue("bad", {}, max_attempts=1)

    async def handler(job: Job) -> None:
        if job.name == "bad":
            raise ValueError("no")

    assert [await process_one(queue, handler) for _ in range(3)] == [True, True, False]
    assert producer.stats().totals["acked"] == 1
    assert [(job.reason, job.last_error) for job in producer.dead()] == [("exhausted", "ValueError: no")]


@pytest.mark.alone
async def test_an_idle_runner_is_woken_and_sends_little(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str, make_queue: MakeQueue
) -> None:
    took: list[float] = []

    async def handler(job: Job) -> None:
        took.append(time.time() - job.payload["at"])

    client = redis_server.client()
    async with running(make_queue(redis_server, prefix), handler, poll_interval=2):
        for number in range(1, 21):
            await asyncio.sleep(0.02)
            await enqueue(producer, "now", {"at": time.time()})
            await eventually_async(lambda number=number: len(took) == number)
        await asyncio.sleep(0.1)
        before = client.info("commandstats")
        began = time.monotonic()
        await asyncio.sleep(4)
        after, seconds = client.info("commandstats"), time.monotonic() - began
    assert sorted(took)[10] < 0.05, took
    sent = {
        name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"]
        for name in after
        if name in ("cmdstat_evalsha", "cmdstat_blpop")
    }
    assert sum(sent.values()) <= 2 * seconds, sent


@pytest.mark.alone
async def test_a_stopped_runner_leaves_the_wake_up_to_others(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str, make_queue: MakeQueue
) -> None:
    """The server may answer its last wait, which was the first to ask, when it has stopped."""
    client = redis_server.client()
    took: list[float] = []

    def waiting(count: int) -> bool:
        return sum(each["cmd"] == "blpop" and each["name"] == prefix for each in client.client_list()) == count

    stopped = WorkerRunner(make_queue(redis_server, prefix), sleeps, poll_interval=2)
    stopped.start()
    await eventually_async(lambda: waiting(1))
    async with running(make_queue(redis_server, prefix), lambda job: took.append(time.time()), poll_interval=2):
        await eventually_async(lambda: waiting(2))
        await stopped.stop()
        sent_at = time.time()
        await enqueue(producer, "now")
        await eventually_async(lambda: took)
    assert took[0] - sent_at < 0.5


@pytest.mark.alone
async def test_a_delayed_job_is_on_time_on_an_idle_queue(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str, make_queue: MakeQueue
) -> None:
    started: list[float] = []
    async with running(make_queue(redis_server, prefix), lambda job: started.append(time.time()), poll_interval=2):
        await asyncio.sleep(0.1)
        job = await enqueue(producer, "later", {}, delay_seconds=0.7)
        await eventually_async(lambda: started)
    assert -0.05 <= started[0] - job.available_at.timestamp() < 1


@pytest.mark.promise("P4")
async def test_a_job_longer_than_its_lease_runs_once(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str, make_queue: MakeQueue
) -> None:
    starts: list[str] = []

    async def handler(job: Job) -> None:
        starts.append(job.id)
        await asyncio.sleep(6)

    producer.enqueue("long", {})
    queue = make_queue(redis_server, prefix, visibility_timeout=3)
    async with running(queue, handler, concurrency=2, poll_interval=0.05):
        await eventually_async(lambda: producer.stats().totals["acked"] == 1)
    assert starts == ["1"]


@pytest.mark.promise("P4")
async def test_a_handler_that_blocks_the_loop_keeps_its_lease(
    redis_server: RedisServer, producer: RedisJobQueue, prefix: str
) -> None:
    queue = RedisJobQueue(redis_server.client(), prefix=prefix, visibility_timeout=3)
    thief: list[Job] = []
    done = threading.Event()

    def steal() -> None:
        while not done.wait(0.02):
            thief.extend(producer.reserve_many(1))

    stealing = threading.Thread(target=steal)

    async def handler(job: Job) -> None:
        stealing.start()
        time.sleep(6)  # noqa: ASYNC251 - that is the point

    producer.enqueue("long", {})
    async with running(queue, handler):
        await eventually_async(lambda: producer.stats().totals["acked"] == 1)
    done.set()
    stealing.join()
    assert not thief
    queue.close()


@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
async def test_killed_connections_cost_no_job_and_no_attempt(
    own_server: RedisServer, prefix: str, make_queue: MakeQueue
) -> None:
    producer = RedisJobQueue(own_server.client(), prefix=prefix)
    for _ in range(300):
        producer.enqueue("add", {})
    attempts: list[int] = []

    async def handler(job: Job) -> None:
        attempts.append(job.attempts)
        await asyncio.sleep(0.01)

    queue = make_queue(own_server, prefix)
    async with running(queue, handler, concurrency=4, poll_interval=0.1):
        with own_server.client() as killer:
            for _ in range(12):
                await asyncio.to_thread(killer.client_kill_filter, _type="normal", skipme=True)
                await asyncio.sleep(0.05)
        await eventually_async(lambda: producer.stats().totals["acked"] == 300, 20)
        idle = len(attempts)
        with own_server.client() as killer:
            await asyncio.to_thread(killer.client_kill_filter, _type="normal", skipme=True)
        await enqueue(producer, "add", {})
        await eventually_async(lambda: len(attempts) > idle)
    assert attempts == [1] * 301
    assert queue.reconnects > 0
    totals = producer.stats().totals
    assert (totals["stale"], totals["reclaimed"]) == (0, 0)
    producer.close()


@pytest.mark.alone
@pytest.mark.promise("P10")
@pytest.mark.parametrize("how", ["stopped", "killed", "paused"])
async def test_a_server_that_goes_away_and_comes_back(
    own_server: RedisServer, prefix: str, make_queue: MakeQueue, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    producer = RedisJobQueue(own_server.client(), prefix=prefix)
    producer.enqueue("running at that time", {"seconds": 1})
    for _ in range(5):
        producer.enqueue("later", {"seconds": 0})
    runs: list[str] = []

    async def handler(job: Job) -> None:
        runs.append(job.name)
        await sleeps(job)

    metrics = Metrics()
    queue = make_queue(own_server, prefix)
    with caplog.at_level(logging.WARNING, "svcjobs"):
        async with running(queue, handler, metrics=metrics):
            await eventually_async(lambda: runs)
            await asyncio.to_thread(_away[how], own_server)
            await asyncio.sleep(4)
            await eventually_async(lambda: "can't be used" in caplog.text)
            up = await asyncio.to_thread(metrics.registry.get_sample_value, "jobs_queue_up", {"queue": prefix})
            assert up == 0
            await asyncio.to_thread(_back[how], own_server)
            began = time.monotonic()
            await eventually_async(lambda: len(runs) == 6, 5, "the worker took up its work within 5 s")
            assert time.monotonic() - began < 5
            await eventually_async(lambda: producer.stats().totals["acked"] == 6)
    assert runs == ["running at that time", *["later"] * 5]
    messages = [record.getMessage() for record in caplog.records if record.name == "svcjobs.outage"]
    assert ["can't be used" in message for message in messages] == [True, False]
    assert "back after" in messages[1]
    producer.close()


_away = {"stopped": RedisServer.stop, "killed": RedisServer.kill, "paused": RedisServer.pause}
_back = {"stopped": RedisServer.restart, "killed": RedisServer.restart, "paused": RedisServer.resume}


async def test_a_stop_while_the_server_is_away_ends_within_bounds(
    own_server: RedisServer, prefix: str, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    producer = RedisJobQueue(own_server.client(), prefix=prefix)
    producer.enqueue("long", {})
    runner = WorkerRunner(make_queue(own_server, prefix), sleeps, concurrency=2)
    runner.start()
    await eventually_async(lambda: runner.running)
    await asyncio.to_thread(own_server.kill)
    began = time.monotonic()
    await runner.stop(grace_seconds=0.1)
    assert time.monotonic() - began < 10
    assert "delivered again" in caplog.text
    with pytest.raises(QueueUnavailable):
        await asyncio.to_thread(producer.stats)
    producer.close()


@pytest.mark.alone
async def test_process_one_raises_when_the_server_is_away(
    own_server: RedisServer, prefix: str, make_queue: MakeQueue
) -> None:
    queue = make_queue(own_server, prefix, timeout_seconds=0.3)
    own_server.kill()
    began = time.monotonic()
    with pytest.raises(QueueUnavailable):
        await process_one(queue, sleeps)
    assert time.monotonic() - began < 2
