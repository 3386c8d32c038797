"""The outbox in memory, for tests and development."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from svcjobs.clock import Clock, utc
from svcjobs.db.message import CLAIM_SECONDS, OutboxMessage, TopicBacklog, encode_message, pause_seconds
from svcjobs.job import decode_payload


@dataclass(slots=True)
class _Entry:
    message: OutboxMessage
    text: str
    available_at: float

    def copy(self) -> OutboxMessage:
        # through JSON, as a database would: who changes a fetched payload changes no stored one
        return replace(self.message, payload=decode_payload(self.text))


class InMemoryOutboxStore:
    """Implements :class:`~svcjobs.db.outbox.Outbox`; knows no transactions.

    Args:
        clock: read for claims and times.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._entries: dict[int, _Entry] = {}
        self._pending: dict[int, _Entry] = {}

    def enqueue(self, topic: str, payload: dict[str, Any]) -> OutboxMessage:
        text = encode_message(topic, payload)
        with self._lock:
            now = self._clock()
            message = OutboxMessage(next(self._ids), topic, decode_payload(text), utc(now))
            entry = _Entry(message, text, now)
            self._entries[message.id] = self._pending[message.id] = entry
            return entry.copy()

    def fetch_next(self, topics: Collection[str] | None = None) -> OutboxMessage | None:
        return next(iter(self.fetch_many(1, topics)), None)

    def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]:
        with self._lock:
            now = self._clock()
            fetched = list(itertools.islice(self._due(now, topics), limit))
            for entry in fetched:
                entry.available_at = now + CLAIM_SECONDS
            return [entry.copy() for entry in fetched]

    def mark_processed(self, *message_ids: int) -> None:
        with self._lock:
            for message_id in message_ids:
                if entry := self._pending.pop(message_id, None):
                    entry.message = replace(entry.message, processed_at=utc(self._clock()))

    def mark_failed(self, message_id: int) -> None:
        with self._lock:
            if entry := self._pending.get(message_id):
                entry.message = replace(entry.message, attempts=entry.message.attempts + 1)
                entry.available_at = self._clock() + pause_seconds(entry.message.attempts)

    def release(self, *message_ids: int) -> None:
        with self._lock:
            for message_id in message_ids:
                if entry := self._pending.get(message_id):
                    entry.available_at = self._clock()

    def get(self, message_id: int) -> OutboxMessage | None:
        with self._lock:
            entry = self._entries.get(message_id)
            return entry.copy() if entry else None

    def backlog(self, topics: Collection[str] | None = None) -> list[TopicBacklog]:
        with self._lock:
            by_topic: dict[str, list[OutboxMessage]] = {}
            for entry in self._pending.values():
                if topics is None or entry.message.topic in topics:
                    by_topic.setdefault(entry.message.topic, []).append(entry.message)
        return [
            TopicBacklog(topic, len(pending), sum(one.attempts > 0 for one in pending), pending[0].created_at)
            for topic, pending in sorted(by_topic.items())
        ]

    def purge_processed(self, keep_seconds: float, limit: int = 1000) -> int:
        with self._lock:
            before = utc(self._clock() - keep_seconds)
            times = ((entry.message.id, entry.message.processed_at) for entry in self._entries.values())
            old = [message_id for message_id, processed_at in times if processed_at and processed_at <= before]
            for message_id in old[:limit]:
                del self._entries[message_id]
            return len(old[:limit])

    def _due(self, now: float, topics: Collection[str] | None) -> Iterator[_Entry]:
        claimed: set[str] = set()
        for entry in self._pending.values():
            topic, failed = entry.message.topic, entry.message.attempts > 0
            if topics is not None and topic not in topics:
                continue
            if entry.available_at > now and not failed:
                claimed.add(topic)
            elif entry.available_at <= now and (failed or topic not in claimed):
                yield entry
