"""A message in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from svcjobs.errors import InvalidJob
from svcjobs.job import encode_payload

TOPIC_CHARACTERS = 255
CLAIM_SECONDS = 60
"""How long a fetched message is nobody else's; a relay that was killed holds it up for no longer."""
LONGEST_PAUSE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """What a transaction has to say to the rest of the world.

    Args:
        id: its number in the outbox; rises in the order of insertion.
        topic: what it is about, such as ``user.created``.
        payload: its data.
        created_at: when it was put into the outbox.
        attempts: how often moving it on has failed.
        processed_at: when it was moved on; None while it is pending.
    """

    id: int
    topic: str
    payload: dict[str, Any]
    created_at: datetime
    attempts: int = 0
    processed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TopicBacklog:
    """What is pending of one topic.

    Args:
        topic: the topic.
        pending: how many messages.
        refused: how many of them the queue has refused before; they are tried again later and later.
        oldest_at: when the oldest of them was put into the outbox.
    """

    topic: str
    pending: int
    refused: int
    oldest_at: datetime


def encode_message(topic: str, payload: dict[str, Any]) -> str:
    """The payload as JSON text. A bad message fails here, in the producer's hands, and not in a relay later.

    Raises:
        InvalidJob: the topic is empty, unprintable or longer than 255 characters, or JSON can't hold the payload.
    """
    if not isinstance(topic, str) or not topic or not topic.isprintable() or len(topic) > TOPIC_CHARACTERS:
        raise InvalidJob(f"the topic is {topic!r}: give 1 to {TOPIC_CHARACTERS} printable characters")
    return encode_payload(payload)


def pause_seconds(attempts: int) -> int:
    """Seconds until a message whose move failed ``attempts`` times is tried again: 2, 4, 8 … 3,600."""
    return min(1 << min(attempts, 12), LONGEST_PAUSE_SECONDS)
