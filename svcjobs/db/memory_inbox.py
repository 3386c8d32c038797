"""The inbox in memory, for tests and development."""

from __future__ import annotations

import threading
import time

from svcjobs.clock import Clock
from svcjobs.db.mark import TTL_SECONDS, expiry


class InMemoryInboxStore:
    """Implements :class:`~svcjobs.db.inbox.Inbox`; forgets all with the process.

    Args:
        clock: decides when a mark ends.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def mark_if_new(self, key: str, ttl_seconds: float = TTL_SECONDS) -> bool:
        with self._lock:
            now = self._clock()
            end = expiry(now, ttl_seconds)
            if self._ends.get(key, now) > now:
                return False
            self._ends[key] = end
            return True

    def is_marked(self, key: str) -> bool:
        with self._lock:
            now = self._clock()
            return self._ends.get(key, now) > now

    def mark(self, key: str, ttl_seconds: float = TTL_SECONDS) -> None:
        with self._lock:
            self._ends[key] = expiry(self._clock(), ttl_seconds)

    def purge_expired(self) -> int:
        with self._lock:
            now = self._clock()
            ended = [key for key, end in self._ends.items() if end <= now]
            for key in ended:
                del self._ends[key]
            return len(ended)
