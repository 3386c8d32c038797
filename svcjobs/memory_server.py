"""The memory that several queue objects share, as several clients share one Redis server."""

from __future__ import annotations

import contextlib
import heapq
import threading

from svcjobs.effects import Count, SetResult
from svcjobs.errors import CorruptKey
from svcjobs.memory_store import MemoryStore


class MemoryServer:
    """Queues by name, and the results and counters that settlements write.

    Queue objects built with the same server see the same jobs; a queue without one has a server of its own.
    One lock guards it all, so that a settlement and its effects are one step even across queues. There is
    one database: ``SetResult.db`` and ``SetResult.channel`` have no meaning here.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._stores: dict[str, MemoryStore] = {}
        self._strings: dict[str, bytes] = {}
        self._hashes: dict[str, dict[str, int]] = {}
        self._expiry: dict[str, float] = {}
        self._expiring: list[tuple[float, str]] = []

    def store(self, name: str) -> MemoryStore:
        """What the queue ``name`` holds."""
        with self.lock:
            if name not in self._stores:
                self._stores[name] = MemoryStore(name, self.lock)
            return self._stores[name]

    def result(self, key: str, now: float) -> bytes | None:
        """The result under ``key``, or None when there is none or its time is up."""
        with self.lock:
            self._expire(now)
            return self._strings.get(key)

    def counter(self, key: str, field: str | None = None, *, now: float) -> int:
        """The counter ``key``, or its ``field``; 0 when it was never counted or its time is up."""
        with self.lock:
            self._expire(now)
            return int(self._strings.get(key, b"0")) if field is None else self._hashes.get(key, {}).get(field, 0)

    def check_count(self, effect: Count, now: float) -> None:
        """Raise CorruptKey when something is under the key that can't be counted so, as a Redis server refuses it."""
        self._expire(now)
        other = self._hashes if effect.field is None else self._strings
        if effect.key in other:
            kind = "string" if effect.field is None else "hash"
            raise CorruptKey(f"{effect.key} isn't a {kind}: nothing was changed")

    def set_result(self, effect: SetResult, now: float) -> None:
        """Do what ``effect`` says."""
        self._expire(now)
        value = effect.value
        self._hashes.pop(effect.key, None)  # as SET does
        self._strings[effect.key] = value.encode() if isinstance(value, str) else bytes(value)
        self._expiry.pop(effect.key, None)
        self._live_for(effect.key, effect.ttl_seconds, now)

    def count(self, effect: Count, now: float) -> None:
        """Do what ``effect`` says; text that is no number stays, as the job is half settled by now."""
        self._expire(now)
        if effect.field is not None:
            fields = self._hashes.setdefault(effect.key, {})
            fields[effect.field] = fields.get(effect.field, 0) + effect.by
        else:
            with contextlib.suppress(ValueError):
                self._strings[effect.key] = b"%d" % (int(self._strings.get(effect.key, b"0")) + effect.by)
        self._live_for(effect.key, effect.ttl_seconds, now)

    def _live_for(self, key: str, ttl_seconds: float | None, now: float) -> None:
        if ttl_seconds is None:
            return
        self._expiry[key] = now + ttl_seconds
        heapq.heappush(self._expiring, (now + ttl_seconds, key))

    def _expire(self, now: float) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            at, key = heapq.heappop(self._expiring)
            if self._expiry.get(key) != at:  # the key was set anew meanwhile
                continue
            del self._expiry[key]
            self._strings.pop(key, None)
            self._hashes.pop(key, None)
