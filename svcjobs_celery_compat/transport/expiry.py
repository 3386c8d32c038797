"""Declared queues, and those that go away when nobody uses them (``x-expires``)."""

from __future__ import annotations

import math
import time
from typing import Any

import redis

# KEYS[1] prefix; ARGV: milliseconds (0: for ever), where to begin in each list. Jobs live twice as long as what leads
# to them, so that none is gone before its queue. Returns where to go on, or 0.
_TOUCH = """
local P, ms, start = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local page = 500
local more = 0
local function keep(key, times)
  if ms > 0 then redis.call('PEXPIRE', key, ms * times) else redis.call('PERSIST', key) end
end
local function jobs(ids)
  for _, id in ipairs(ids) do keep(P .. ':job:' .. id, 2) end
  if #ids == page then more = start + page end
end
local lists = {':ready', ':processing', ':dlq'}
for level = 1, 9 do lists[#lists + 1] = ':ready:' .. level end
for _, list in ipairs(lists) do
  keep(P .. list, 1)
  jobs(redis.call('LRANGE', P .. list, start, start + page - 1))
end
keep(P .. ':delayed', 1)
jobs(redis.call('ZRANGE', P .. ':delayed', start, start + page - 1))
for _, name in ipairs({'processing_vt', 'seq', 'leases', 'counters', 'priorities', 'wake', 'declared'}) do
  keep(P .. ':' .. name, 1)
end
return more
"""
_REMOVABLE = ("ready", *(f"ready:{level}" for level in range(1, 10)), "delayed", "priorities", "wake", "declared")
_COUNTS = ("seq", "leases", "counters")
REMEMBERED_SECONDS = 60.0


class Declarations:
    """Which queues exist, by the key ``{prefix}:declared``; it holds the queue's ``x-expires`` in milliseconds, or 0.

    Args:
        client: of the server.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._touch_script = client.register_script(_TOUCH)
        self._known: dict[str, tuple[int, float]] = {}
        self._touch_at: dict[str, float] = {}

    def declare(self, prefix: str, expires_ms: int | None) -> None:
        """Note that a queue exists. One without jobs has no other key."""
        known = self._known.get(prefix)
        if known and known[0] == (expires_ms or 0) and known[1] > time.monotonic():
            return
        before: Any = self._client.set(f"{prefix}:declared", expires_ms or 0, px=expires_ms, get=True)
        self._know(prefix, expires_ms or 0)
        if int(before or 0) and not expires_ms:
            self._touch(prefix, 0)

    def exists(self, prefix: str) -> bool:
        """Whether a queue was declared, or has been used."""
        return bool(self._client.exists(f"{prefix}:declared", f"{prefix}:seq"))

    def used(self, prefix: str, *, now: bool = False) -> None:
        """Put off the end of a queue that expires: a third of its time after the last use, or ``now``."""
        expires_ms = self._expires_ms(prefix)
        if not expires_ms or (not now and time.monotonic() < self._touch_at.get(prefix, 0.0)):
            return
        self._touch_at[prefix] = time.monotonic() + expires_ms / 3000
        self._touch(prefix, expires_ms)

    def most_idle_seconds(self, prefix: str) -> float:
        """After this time a consumer has to say that it is still there; endless for a queue that stays."""
        expires_ms = self._expires_ms(prefix)
        return expires_ms / 3000 if expires_ms else math.inf

    def remove(self, prefix: str, *, wholly: bool) -> None:
        """Remove the keys of a queue that was purged; its counts too when nothing of it is left (``wholly``)."""
        self._known.pop(prefix, None)
        names = (*_REMOVABLE, *_COUNTS) if wholly else ("declared",)
        self._client.unlink(*(f"{prefix}:{name}" for name in names))

    def _touch(self, prefix: str, expires_ms: int) -> None:
        start: Any = 0
        while True:
            start = self._touch_script(keys=[prefix], args=[expires_ms, start])
            if not start:
                return

    def _expires_ms(self, prefix: str) -> int:
        expires_ms, until = self._known.get(prefix, (0, 0.0))
        if until > time.monotonic():
            return expires_ms
        stored: Any = self._client.get(f"{prefix}:declared")
        self._know(prefix, int(stored or 0))
        return int(stored or 0)

    def _know(self, prefix: str, expires_ms: int) -> None:
        if len(self._known) > 10_000:
            self._known.clear()
            self._touch_at.clear()
        self._known[prefix] = expires_ms, time.monotonic() + REMEMBERED_SECONDS
