"""By what a message is known again when the old broker delivers it a second time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from svcjobs_celery_compat.transport.wire import Message, task_field

LONGEST_NAME = 150


@dataclass(frozen=True, slots=True)
class Identity:
    """What a message is called.

    Args:
        name: part of the job's id.
        is_own: no other message has it; otherwise it is that of the content, and equal messages share it.
    """

    name: str
    is_own: bool


def identify(message: Message) -> Identity:
    """The identity of a message.

    A task has that of its id, retries, name and body: a task that replaces itself keeps its id, but not these. Others
    have the id that kombu's virtual transports give to each message, or the one of AMQP; without any, they are known by
    what they say.
    """
    task_id = task_field(message, "id")
    properties = message["properties"]
    if isinstance(task_id, str) and task_id:
        retries = task_field(message, "retries") or 0
        return _own(f"{task_id}-{retries}", message, task_field(message, "task"))
    for own in (properties.get("delivery_tag"), properties.get("message_id")):
        if isinstance(own, str) and own:
            return _own(own, message)
    said = (message["headers"], message.get("content-type"), properties.get("correlation_id"), properties.get("type"))
    return Identity(f"content-{_digest(message, *said)}", is_own=False)


def _own(name: str, message: Message, *parts: object) -> Identity:
    digest = _digest(message, name, *parts)
    readable = name if name.isprintable() and len(name) <= LONGEST_NAME else "message"
    return Identity(f"{readable}-{digest}", is_own=True)


def _digest(message: Message, *parts: object) -> str:
    body = message["body"]
    digest = hashlib.sha256(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    digest.update(repr(parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]
