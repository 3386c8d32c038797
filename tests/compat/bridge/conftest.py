"""An old broker with a queue, and a bridge from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.queues import prefix_of
from tests.compat.bridge.brokers import OldBroker, rabbitmq_queue
from tests.servers import RedisServer

StartBridge = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["redis", "rabbitmq"])
def old(request: pytest.FixtureRequest, own_server: RedisServer, prefix: str) -> Iterator[OldBroker]:
    if request.param == "redis":
        yield OldBroker(f"redis://127.0.0.1:{own_server.port}/1", prefix)
        return
    with rabbitmq_queue() as broker:
        yield broker


@pytest.fixture
def moved(old: OldBroker, own_server: RedisServer) -> Iterator[RedisJobQueue]:
    """The queue that the bridge writes to."""
    queue = RedisJobQueue(own_server.client(), prefix=prefix_of(old.queue, "jobs"))
    yield queue
    queue.close()


@pytest.fixture
def start_bridge(old: OldBroker, own_server: RedisServer) -> Iterator[StartBridge]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, url: str = old.url, screen: int = subprocess.PIPE) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "svcjobs", "bridge", "--from", url, "--queues", old.queue]
        command += ["--redis-url", own_server.url, *options]
        process = subprocess.Popen(
            command,
            stdout=screen,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
