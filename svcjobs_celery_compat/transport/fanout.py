"""Fanout exchanges: one capped stream each, which every bound queue reads from where it was bound."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from svcjobs.job import decode_payload, encode_payload
from svcjobs_celery_compat.transport.wire import Message, decode, encode

MOST_ENTRIES = 10_000
IDLE_SECONDS = 24 * 3600
"""A stream is gone a day after its last message; the hour after which a process puts that off again is added."""
PUT_OFF_SECONDS = 3600
BLOCK_SECONDS = 5.0
PAGE = 100
Position = tuple[int, int]


@dataclass(slots=True)
class Subscription:
    """What a queue receives of a fanout exchange that it is bound to, and up to where it has read."""

    pattern: re.Pattern[str] | None
    position: Position


class Fanout:
    """Streams under ``{root}:kombu:fanout:<prefix><exchange>``, and the subscriptions of a connection.

    Args:
        client: of the server.
        prefix: what the streams' keys begin with; on a cluster it has a hash tag, so that all are in one slot.
        patterns: whether a binding key narrows what is received.
    """

    def __init__(self, client: Any, prefix: str, *, patterns: bool) -> None:
        self._client = client
        self.prefix = prefix
        self._patterns = patterns
        self.subscriptions: dict[str, dict[str, Subscription]] = {}
        """By queue and exchange."""
        self._put_off_at: dict[str, float] = {}  # of each stream that is published to

    def publish(self, exchange: str, routing_key: str, message: Message) -> None:
        """Send a message to all queues that are bound."""
        _, payload = encode(message)
        key = self._key(exchange)
        fields: Any = {"key": (routing_key or "").encode(), "message": encode_payload(payload)}
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.xadd(key, fields, maxlen=MOST_ENTRIES, approximate=True)
            if puts_off := time.monotonic() >= self._put_off_at.get(key, 0.0):
                pipeline.expire(key, IDLE_SECONDS + PUT_OFF_SECONDS)
            pipeline.execute()
        if puts_off:
            self._put_off_at[key] = time.monotonic() + PUT_OFF_SECONDS

    def subscribe(self, queue: str, exchange: str, binding_key: str) -> None:
        """Let a queue receive what is published from now on."""
        newest: Any = self._client.xrevrange(self._key(exchange), count=1)
        position = _position(newest[0][0]) if newest else (0, 0)
        self.subscriptions.setdefault(queue, {})[exchange] = Subscription(self._pattern(binding_key), position)

    def unsubscribe(self, queue: str, exchange: str) -> None:
        """Let a queue receive nothing of an exchange any more."""
        bound = self.subscriptions.get(queue, {})
        bound.pop(exchange, None)
        if not bound:
            self.subscriptions.pop(queue, None)

    def reading(self, queues: Iterable[str]) -> tuple[Any, ...]:
        """The command that waits for what is next for some queues."""
        starts: dict[str, Position] = {}
        for queue in queues:
            for exchange, subscription in self.subscriptions[queue].items():
                key = self._key(exchange)
                starts[key] = min(starts.get(key, subscription.position), subscription.position)
        ids = ["-".join(map(str, position)) for position in starts.values()]
        return ("XREAD", "COUNT", PAGE, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS", *starts, *ids)

    def received(self, reply: Any, queues: Iterable[str]) -> Iterator[tuple[str, Message]]:
        """Queue and message of each delivery that a reply means."""
        names = list(queues)
        for key, entries in reply or ():
            exchange = key.decode().removeprefix(self.prefix)
            listening = [(name, bound) for name in names if (bound := self.subscriptions[name].get(exchange))]
            for entry_id, fields in entries:
                values = dict(zip(fields[::2], fields[1::2], strict=True))
                for name, bound in listening:
                    if _takes(bound, _position(entry_id), values[b"key"].decode()):
                        yield name, self._message(values[b"message"], f"{name}:{exchange}:{entry_id.decode()}")

    def _message(self, text: bytes, tag: str) -> Message:
        message = decode(decode_payload(text))
        message["properties"]["delivery_tag"] = f"fanout:{tag}"
        return message

    def _pattern(self, binding_key: str) -> re.Pattern[str] | None:
        if not self._patterns or binding_key in ("", "#", "*"):
            return None
        return re.compile(fnmatch.translate(binding_key.replace("[", "[[]").replace("#", "*")))

    def _key(self, exchange: str) -> str:
        return f"{self.prefix}{exchange}"


def _takes(subscription: Subscription, position: Position, routing_key: str) -> bool:
    if position <= subscription.position:
        return False
    subscription.position = position
    return subscription.pattern is None or subscription.pattern.match(routing_key) is not None


def _position(entry_id: bytes) -> Position:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
