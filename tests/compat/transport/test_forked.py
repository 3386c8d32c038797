"""A process that forks while it consumes, as each Celery worker with the pool prefork does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest
from kombu.asynchronous.hub import Hub

from tests.compat.transport.kombu_client import send
from tests.servers import RedisServer

FAN = kombu.Exchange("fan", type="fanout")
MESSAGES = 6
Turn = Callable[[], object]


@pytest.fixture
def connection(own_server: RedisServer) -> Iterator[kombu.Connection]:
    with kombu.Connection(f"svcjobs://127.0.0.1:{own_server.port}") as connection:
        yield connection


@pytest.fixture
def child() -> Iterator[None]:
    """A process that has copies of all descriptors, and does nothing."""
    children: list[int] = []

    def fork() -> None:
        if (pid := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)

    yield fork  # type: ignore[misc]
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("way", ["event loop", "drain_events"])
def test_a_lost_connection_is_opened_again_although_a_child_has_a_copy_of_it(
    connection: kombu.Connection, own_server: RedisServer, child: Turn, way: str
) -> None:
    got: list[Any] = []
    hub = Hub()
    for queue in (kombu.Queue("q"), kombu.Queue("f", FAN)):
        connection.Consumer(queue, callbacks=[lambda body, message: (got.append(body), message.ack())]).consume()
    if way == "event loop":
        connection.register_with_event_loop(hub)

    def turn() -> None:
        if way == "event loop":
            hub.call_later(0.2, lambda: None)  # so that it doesn't sleep for longer
            hub.run_once()
            return
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            return

    for _ in range(3):
        turn()
    child()
    own_server.client().client_kill_filter(_type="normal", skipme=True)
    seconds: list[float] = []

    def timed_turn() -> None:
        began = time.monotonic()
        turn()
        seconds.append(time.monotonic() - began)

    for _ in range(4):
        timed_turn()
    with kombu.Connection(connection.as_uri()) as other:
        for number in range(MESSAGES):
            send(other, number)
            deadline = time.monotonic() + 20
            while number not in got and time.monotonic() < deadline:
                timed_turn()
    hub.close()
    assert got == list(range(MESSAGES))
    assert max(seconds) < 1.5, "a turn waited for what wasn't there to be read"
