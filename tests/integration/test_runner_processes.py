"""Runners in processes of their own, on a real server: killed, stopped past their leases, and terminated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]

WORKER = """
import asyncio, signal, sys, time
import redis
from svcjobs import RedisJobQueue, WorkerRunner

url, prefix, name, lease = sys.argv[1:]
client = redis.Redis.from_url(url)
queue = RedisJobQueue(client, prefix=prefix, visibility_timeout=float(lease))

async def handler(job):
    client.rpush(prefix + ":started", f"{name}:{job.id}:{job.attempts}")
    await asyncio.sleep(job.payload["seconds"])

async def main():
    runner = WorkerRunner(queue, handler, concurrency=4)
    loop = asyncio.get_running_loop()
    stops = []
    loop.add_signal_handler(signal.SIGTERM, lambda: stops.append(asyncio.create_task(runner.stop(grace_seconds=1))))
    client.rpush(prefix + ":up", name)
    await runner.start()

asyncio.run(main())
"""


@pytest.fixture
def producer(redis_server: RedisServer, prefix: str) -> Iterator[RedisJobQueue]:
    queue = RedisJobQueue(redis_server.client(), prefix=prefix)
    yield queue
    queue.close()


class Workers:
    """Worker processes of WORKER, ended with the test."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.client = server.client(decode_responses=True)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, lease: float = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORKER, self.server.url, self.prefix, name, str(lease)]
        process = subprocess.Popen(command, cwd=ROOT)
        self.processes.append(process)
        eventually(lambda: name in self.client.lrange(f"{self.prefix}:up", 0, -1), 20)
        return process

    @property
    def started(self) -> list[str]:
        return [str(line) for line in self.client.lrange(f"{self.prefix}:started", 0, -1)]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.client.close()


@pytest.fixture
def workers(redis_server: RedisServer, prefix: str) -> Iterator[Workers]:
    workers = Workers(redis_server, prefix)
    yield workers
    workers.close()


@pytest.mark.alone
@pytest.mark.promise("P3")
@pytest.mark.scenario(2)
def test_the_job_of_a_killed_worker_starts_again_in_time(workers: Workers, producer: RedisJobQueue) -> None:
    first = workers.start("w1")
    producer.enqueue("job", {"seconds": 60})
    eventually(lambda: workers.started)
    workers.start("w2")
    first.kill()
    killed = time.monotonic()
    eventually(lambda: workers.started == ["w1:1:1", "w2:1:2"])
    assert time.monotonic() - killed < 1 + 2


@pytest.mark.promise("P2")
@pytest.mark.scenario(5)
def test_a_worker_that_slept_past_its_lease_settles_nothing(workers: Workers, producer: RedisJobQueue) -> None:
    first = workers.start("w1", lease=3)
    producer.enqueue("job", {"seconds": 2})
    eventually(lambda: workers.started)
    os.kill(first.pid, signal.SIGSTOP)
    workers.start("w2", lease=3)
    eventually(lambda: producer.stats().totals["acked"] == 1)
    os.kill(first.pid, signal.SIGCONT)
    eventually(lambda: producer.stats().totals["stale"] == 1)
    time.sleep(0.5)
    totals = producer.stats().totals
    assert (totals["acked"], totals["stale"], totals["retried"]) == (1, 1, 0)
    assert workers.started == ["w1:1:1", "w2:1:2"]


@pytest.mark.alone
@pytest.mark.scenario(21)
def test_a_terminated_worker_ends_what_it_can_and_gives_back_the_rest(
    workers: Workers, producer: RedisJobQueue
) -> None:
    first = workers.start("w1")
    producer.enqueue("short", {"seconds": 0.5})
    producer.enqueue("long", {"seconds": 60})
    eventually(lambda: len(workers.started) == 2)
    workers.start("w2")
    first.send_signal(signal.SIGTERM)
    assert first.wait(45) == 0
    eventually(lambda: len(workers.started) == 3)
    assert workers.started[2] == "w2:2:1"
    assert producer.stats().totals["acked"] == 1
