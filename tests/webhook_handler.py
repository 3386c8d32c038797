"""The webhook handler for tests, over a receiver on the loopback interface: ``pytest_plugins`` of who uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from svcjobs.builtins.webhook_delivery import make_webhook_handler
from svcjobs.db.inbox import InMemoryInboxStore
from svcjobs.db.outbox import InMemoryOutboxStore
from tests.webhook_jobs import Deliver
from tests.webhook_receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def outbox() -> InMemoryOutboxStore:
    return InMemoryOutboxStore()


@pytest.fixture
def inbox() -> InMemoryInboxStore:
    return InMemoryInboxStore()


@pytest.fixture
def make(outbox: InMemoryOutboxStore, inbox: InMemoryInboxStore, receiver: Receiver) -> Callable[..., Deliver]:
    def make(**options: Any) -> Deliver:
        defaults: dict[str, Any] = {
            "outbox": outbox,
            "inbox": inbox,
            "get_webhook_url_for_topic": lambda topic: receiver.url,
            "get_secret_for_topic": lambda topic: f"secret of {topic}",
            "allowed_destinations": ["127.0.0.1"],
        }
        return make_webhook_handler(**defaults | options)

    return make


@pytest.fixture
def deliver(make: Callable[..., Deliver]) -> Deliver:
    return make()
