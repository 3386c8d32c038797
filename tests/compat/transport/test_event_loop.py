"""Consuming in kombu's event loop, which is what Celery's workers do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest
from kombu.asynchronous.hub import Hub

from tests.compat.transport.kombu_client import OpenConnection, consuming, send
from tests.eventually import eventually

FAN = kombu.Exchange("fan", type="fanout")


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def turned(hub: Hub, condition: Callable[[], object]) -> Callable[[], object]:
    """A condition to be looked at after each turn of a loop."""

    def look() -> object:
        hub.run_once()
        return condition()

    return look


def test_broadcasts_and_messages_are_heard(opened: OpenConnection, hub: Hub) -> None:
    connection, producer = opened(), opened()
    got: list[Any] = []
    fan = connection.Consumer(kombu.Queue("a", FAN), callbacks=[lambda body, _: got.append(body)], no_ack=True)
    fan.consume()
    connection.Consumer(kombu.Queue("q"), callbacks=[lambda body, message: (got.append(body), message.ack())]).consume()
    connection.register_with_event_loop(hub)
    hub.run_once()
    with producer.Producer() as sender:
        sender.publish("broadcast", exchange=FAN, declare=[FAN])
        sender.publish("message", routing_key="q")
    eventually(turned(hub, lambda: sorted(got) == ["broadcast", "message"]))


class InOrder(dict[Any, None]):
    """In place of a loop's set of tick functions: they are called in the order in which they were added."""

    def add(self, function: Any) -> None:
        self[function] = None

    def discard(self, function: Any) -> None:
        self.pop(function, None)


@pytest.mark.alone
def test_what_a_delivery_prepares_is_done_at_once(opened: OpenConnection, hub: Hub) -> None:
    connection = opened()
    left, right = socket.socketpair()
    began: list[float] = []
    waits: list[float] = []

    def ask_to_write() -> None:  # as Celery's pool does when it was given something
        if began:
            hub.add_writer(left, lambda: waits.append(time.monotonic() - began[0]))

    hub.on_tick = InOrder()
    hub.on_tick.add(ask_to_write)  # so it comes before the transport's
    hub.call_later(60, print)  # the loop sleeps for two seconds at a time
    with left, right, connection.Consumer(kombu.Queue("q"), on_message=lambda _: began.append(time.monotonic())):
        connection.register_with_event_loop(hub)
        sender = threading.Timer(0.5, send, (opened(), "a"))
        sender.start()  # the consumer waits by then
        eventually(turned(hub, lambda: waits), 20)
        sender.join()
    assert waits[0] < 1


@pytest.mark.alone
def test_a_loop_that_has_more_to_deliver_doesnt_sleep(opened: OpenConnection, hub: Hub) -> None:
    connection = opened()
    send(opened(), *range(2000))
    hub.call_later(60, print)
    left, right = socket.socketpair()
    hub.add_reader(left, print)  # a loop without sockets doesn't sleep for long
    with left, right, consuming(connection, prefetch_count=2000) as got:
        connection.register_with_event_loop(hub)
        began = time.monotonic()
        eventually(turned(hub, lambda: len(got) == 2000), 30)
        assert time.monotonic() - began < 5


def test_a_loop_whose_messages_take_long_gets_its_turn_between_them(opened: OpenConnection, hub: Hub) -> None:
    """As Celery's pool solo runs tasks in it, whose acks the loop sends."""
    connection = opened()
    send(connection, *range(5))
    got: list[Any] = []
    turns: list[int] = []

    def run(message: Any) -> None:
        got.append(message)
        time.sleep(0.02)
        hub.call_soon(message.ack)

    with connection.Consumer(kombu.Queue("q"), on_message=run, prefetch_count=5):
        connection.register_with_event_loop(hub)
        while len(got) < 5:
            before = len(got)
            hub.run_once()
            turns.append(len(got) - before)
    assert max(turns) == 1
