"""Receivers that don't get as far as an answer: each step before it has a time limit of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from svcjobs.errors import WebhookFailed
from svcjobs.webhooks.limits import DeliveryLimits
from tests.webhook_jobs import Deliver, webhook

pytest_plugins = ["tests.webhook_handler"]
pytestmark = pytest.mark.alone

LONG = 30.0
"""A limit that no test reaches: were the one under test not kept, this one would be, and the error another."""


@contextmanager
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 5


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that the kernel connects callers to, and that says and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(server: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.getsockname()[1]}/hook"


async def test_a_name_that_is_looked_up_for_too_long(
    make: Callable[..., Deliver], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def slow(*args: object, **options: object) -> list[object]:
        answered.wait(LONG)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    deliver = make(
        get_webhook_url_for_topic=lambda topic: "http://slow.test/",
        limits=DeliveryLimits(connect_seconds=0.2, total_seconds=LONG),
    )
    try:
        with in_time(), pytest.raises(WebhookFailed, match="ConnectTimeout"):
            await deliver(webhook())
    finally:
        answered.set()


async def test_a_host_that_takes_no_connection(make: Callable[..., Deliver]) -> None:
    with ExitStack() as closing:
        server = closing.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):  # as many as its queue holds; the kernel answers no more
            waiting = closing.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        deliver = make(
            get_webhook_url_for_topic=lambda topic: url_of(server),
            limits=DeliveryLimits(connect_seconds=0.2, total_seconds=LONG),
        )
        with in_time(), pytest.raises(WebhookFailed, match="ConnectTimeout"):
            await deliver(webhook())


async def test_a_host_that_does_not_answer_the_greeting_of_tls(
    make: Callable[..., Deliver], silent: socket.socket
) -> None:
    deliver = make(
        get_webhook_url_for_topic=lambda topic: url_of(silent, "https"),
        limits=DeliveryLimits(connect_seconds=0.2, total_seconds=LONG),
    )
    with in_time(), pytest.raises(WebhookFailed, match="ConnectTimeout"):
        await deliver(webhook())


async def test_a_receiver_that_does_not_read_a_large_body(make: Callable[..., Deliver], silent: socket.socket) -> None:
    deliver = make(
        get_webhook_url_for_topic=lambda topic: url_of(silent),
        limits=DeliveryLimits(silence_seconds=0.2, total_seconds=LONG),
    )
    large = {"text": "x" * 50_000_000}  # more than the kernel's buffers hold
    with in_time(), pytest.raises(WebhookFailed, match="WriteTimeout"):
        await deliver(webhook(payload=large))


async def test_the_total_holds_when_each_step_is_in_time(make: Callable[..., Deliver], silent: socket.socket) -> None:
    deliver = make(
        get_webhook_url_for_topic=lambda topic: url_of(silent, "https"),
        limits=DeliveryLimits(connect_seconds=LONG, total_seconds=0.2),
    )
    with in_time(), pytest.raises(WebhookFailed, match=r"no answer within 0\.2 s"):
        await deliver(webhook())
