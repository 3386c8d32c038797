"""What was revoked, kept beside the queues: for workers that are down at the time, and across restarts of Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from svcjobs_celery_compat.transport.transport import Transport

_LEAST_SECONDS = 86400.0
"""How long a revocation is kept where results don't expire."""

# KEYS[1] the sorted set; ARGV: when the latest task is due (0: none waits), seconds to keep after that, members
_ADD = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local until_at = string.format('%.17g', math.max(now, tonumber(ARGV[1])) + tonumber(ARGV[2]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now))
for at = 3, #ARGV do redis.call('ZADD', KEYS[1], 'GT', until_at, ARGV[at]) end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
return redis.call('EXPIREAT', KEYS[1], math.floor(tonumber(last[2])) + 1)
"""


class Revocations:
    """The sorted sets ``{root}:kombu:revoked`` of task ids and ``{root}:kombu:revoked-stamps`` of stamps.

    The score of each is the instant at which it may be forgotten, by the server's clock: results expire then of the
    latest task that waited for its time when it was revoked.

    Args:
        client: of the broker's server.
        root: what all keys of the broker begin with.
    """

    def __init__(self, client: Any, root: str) -> None:
        self._client = client
        self._add_script = client.register_script(_ADD)
        self._ids = f"{root}:kombu:revoked"
        self._stamps = f"{root}:kombu:revoked-stamps"

    @classmethod
    def of(cls, connection: Any) -> Revocations | None:
        """Those of a broker connection; None when its messages aren't in Redis."""
        if not isinstance(connection.transport, Transport):
            return None
        channel = connection.default_channel
        client = getattr(channel, "client", None)
        return cls(client, channel.options.root) if client is not None else None

    def add(self, task_ids: Iterable[str], prefixes: Iterable[str], keep_seconds: float | None) -> None:
        """Remember ids.

        Args:
            task_ids: the ids.
            prefixes: of the queues that may hold the tasks.
            keep_seconds: how long results are kept; None or 0 for ever.
        """
        self._add(self._ids, task_ids, prefixes, keep_seconds)

    def add_stamps(self, headers: Mapping[str, Any], prefixes: Iterable[str], keep_seconds: float | None) -> None:
        """Remember stamps: each value of each header, see :meth:`add`."""
        pairs = (
            json.dumps([name, value])
            for name, values in headers.items()
            for value in (values if isinstance(values, list | tuple | set | frozenset) else [values])
        )
        self._add(self._stamps, pairs, prefixes, keep_seconds)

    def among(self, task_ids: Iterable[str]) -> set[str]:
        """Which of these ids are revoked; a round trip, or two where any task is."""
        asked = list(task_ids)
        if not (asked and self._client.exists(self._ids)):  # nothing is revoked, mostly
            return set()
        scores: Any = self._client.zmscore(self._ids, asked)
        return {task_id for task_id, score in zip(asked, scores, strict=True) if score is not None}

    def ids(self) -> list[str]:
        """All ids, those first that are forgotten first."""
        found: Any = self._client.zrange(self._ids, 0, -1)
        return [_text(member) for member in found]

    def stamps(self) -> list[tuple[str, Any]]:
        """All stamps as pairs of header and value."""
        found: Any = self._client.zrange(self._stamps, 0, -1)
        return [(name, value) for name, value in map(json.loads, found)]

    def _add(self, key: str, members: Iterable[str], prefixes: Iterable[str], keep_seconds: float | None) -> None:
        found = list(members)
        if not found:
            return
        kept = [self._latest_eta(prefixes), keep_seconds or _LEAST_SECONDS]
        self._add_script(keys=[key], args=[*kept, *found])

    def _latest_eta(self, prefixes: Iterable[str]) -> float:
        """When the last task that waits for its time is due; 0 when none waits."""
        with self._client.pipeline(transaction=False) as pipeline:
            for prefix in prefixes:
                pipeline.zrange(f"{prefix}:delayed", -1, -1, withscores=True)
            delayed = pipeline.execute()
        return max([0.0, *(float(score) for found in delayed for _, score in found)])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
