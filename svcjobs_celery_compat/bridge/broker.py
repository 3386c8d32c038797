"""The old broker, as the bridge sees it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from svcjobs.errors import QueueUnavailable
from svcjobs_celery_compat.transport.wire import Message


class BrokerUnavailable(QueueUnavailable):
    """The old broker can't be reached, or the connection was lost. What it handed out and wasn't acked comes again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that the old broker handed out, and holds until it is acked.

    Args:
        queue: where it waited.
        message: body, headers and properties, as :mod:`svcjobs_celery_compat.transport.wire` has them.
        priority: of the job, from 0 (first) to 9.
        is_fresh: no bridge can have had this message before.
        handle: by which the broker knows it.
        nonce: tells it from every other one, also of an equal message.
    """

    queue: str
    message: Message
    priority: int
    is_fresh: bool
    handle: Any
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))


class Broker(Protocol):
    """A kombu broker and some of its queues. Calls are made from one thread.

    Each method but :meth:`close` raises :class:`BrokerUnavailable` when the connection fails; :meth:`connect` is to be
    called then.
    """

    def connect(self) -> None:
        """Open a connection, and consume from the queues.

        Raises:
            ConfigurationError: a queue isn't there, or the broker refuses the credentials.
        """
        ...

    def take(self, limit: int, seconds: float) -> list[Delivery]:
        """About ``limit`` messages at most; when there are none, an empty list after ``seconds``."""
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Remove messages. When it returns, the broker has done so.

        They are all that :meth:`take` returned and that wasn't acked yet.
        """
        ...

    def keep_alive(self) -> None:
        """Send a heartbeat, and do what else is to be done from time to time."""
        ...

    def waiting(self) -> dict[str, int]:
        """How many messages wait in each queue."""
        ...

    def unfinished(self) -> str:
        """What keeps the queues from being finished, in words; empty when nothing waits and nobody holds anything."""
        ...

    def close(self) -> None:
        """Give back what isn't acked, and close the connection. Raises nothing."""
        ...
