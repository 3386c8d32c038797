"""Which queues of RabbitMQ may refuse a message is asked of RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, AMQPError, PreconditionFailed

from svcjobs_celery_compat.bridge.amqp_refusal import may_refuse
from tests.compat.bridge.brokers import OldBroker, rabbitmq_queue

REJECTS = {"x-max-length": 3, "x-overflow": "reject-publish"}


@pytest.fixture
def old() -> Iterator[OldBroker]:
    with rabbitmq_queue() as broker:
        yield broker


@pytest.mark.parametrize(
    ("flags", "arguments", "refuses"),
    [
        ({}, {}, False),
        ({}, {"x-queue-type": "classic", "x-max-priority": 10}, False),
        ({"durable": False, "auto_delete": True}, {"x-message-ttl": 60_000, "x-single-active-consumer": True}, False),
        ({}, {"x-max-length": 3}, False),
        ({}, {"x-overflow": "drop-head", "x-max-length-bytes": 2**40}, False),
        ({}, {"x-dead-letter-exchange": "it's of type 'dead'", "x-queue-mode": "lazy"}, False),
        ({}, {"x-mine": {"deep": [1, "two"]}}, False),
        ({}, REJECTS, True),
        ({}, {"x-max-length": 3, "x-overflow": "reject-publish-dlx"}, True),
        ({"durable": False}, {"x-expires": 60_000, "x-max-priority": 3, **REJECTS}, True),
        ({}, {"x-queue-type": "quorum"}, True),
        ({}, {"x-queue-type": "quorum", "x-delivery-limit": 5, "x-max-length": 3}, True),
        ({}, {"x-queue-type": "stream"}, True),
    ],
)
def test_a_declared_queue_tells(
    old: OldBroker, flags: dict[str, Any], arguments: dict[str, Any], refuses: bool
) -> None:
    with old.connect() as connection:
        connection.channel().queue_declare(
            old.queue, arguments=arguments, **{"durable": True, "auto_delete": False, **flags}
        )
        assert may_refuse(connection, old.queue) is refuses
        assert connection.channel().queue_declare(old.queue, passive=True)


class Asked:
    """A connection to a RabbitMQ that answers each question so."""

    def __init__(self, error: AMQPError) -> None:
        self.error = error

    def channel(self) -> Asked:
        return self

    def queue_declare(self, name: str, **options: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        AccessRefused("access to queue 'q' in vhost '/' refused for user 'u'"),
        PreconditionFailed("of another kind"),
        PreconditionFailed(
            "inequivalent arg 'x-new' for queue 'q' in vhost '/': received none but current is '1' of type 'odd'"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_queue_that_cant_be_asked_may_refuse(error: AMQPError) -> None:
    assert may_refuse(Asked(error), "q")
