"""A process that forks while it consumes, as each Celery worker with the pool prefork does."""

from __future__ import annotations

import contextlib
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


@pytest.fixture
def connection(own_server: RedisServer) -> Iterator[kombu.Connection]:
    with kombu.Connection(f"svcjobs://127.0.0.1:{own_server.port}") as connection:
        yield connection


@pytest.fixture
def child() -> Iterator[Callable[[], None]]:
    """A process that has copies of all descriptors, and does nothing."""
    children: list[int] = []

    def fork() -> None:
        if (pid := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)

    yield fork
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Turns:
    """Turns of a loop, or calls of ``drain_events``, and how long each took.

    Args:
        connection: what consumes.
        hub: the loop, None without one.
    """

    def __init__(self, connection: kombu.Connection, hub: Hub | None) -> None:
        self.seconds: list[float] = []
        self._connection = connection
        self._hub = hub
        if hub:
            connection.register_with_event_loop(hub)

    def take(self) -> None:
        began = time.monotonic()
        if self._hub:
            self._hub.call_later(0.2, lambda: None)  # so that it doesn't sleep for longer
            self._hub.run_once()
        else:
            with contextlib.suppress(TimeoutError):
                self._connection.drain_events(timeout=0.2)
        self.seconds.append(time.monotonic() - began)


@pytest.mark.alone
@pytest.mark.parametrize("in_a_loop", [True, False], ids=["event loop", "drain_events"])
def test_a_lost_connection_is_opened_again_although_a_child_has_a_copy_of_it(
    connection: kombu.Connection, own_server: RedisServer, child: Callable[[], None], *, in_a_loop: bool
) -> None:
    got: list[Any] = []
    hub = Hub() if in_a_loop else None
    for queue in (kombu.Queue("q"), kombu.Queue("f", FAN)):
        connection.Consumer(queue, callbacks=[lambda body, message: (got.append(body), message.ack())]).consume()
    turns = Turns(connection, hub)
    for _ in range(3):
        turns.take()
    child()
    own_server.client().client_kill_filter(_type="normal", skipme=True)
    for _ in range(4):
        turns.take()
    with kombu.Connection(connection.as_uri()) as other:
        for number in range(MESSAGES):
            send(other, number)
            deadline = time.monotonic() + 20
            while number not in got and time.monotonic() < deadline:
                turns.take()
    if hub:
        hub.close()
    assert got == list(range(MESSAGES))
    assert max(turns.seconds) < 1.5, "a turn waited for what wasn't there to be read"
