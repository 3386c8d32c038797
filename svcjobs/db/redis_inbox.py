"""The inbox in Redis."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.connections import derive
from svcjobs._redis.failures import translate
from svcjobs.db.mark import TTL_SECONDS, expiry, stored_key

TIMEOUT_SECONDS = 5.0


class RedisInboxStore:
    """Implements :class:`~svcjobs.db.inbox.Inbox` with one key a mark, which Redis removes when its time is up.

    For work whose effect isn't in a database that could keep the mark with it: there is no transaction to join.

    Args:
        client: a client of the server; connections of the store's own are made from it.
        prefix: first part of the keys, ``{prefix}:{key}``.
    """

    def __init__(self, client: Any, *, prefix: str = "jobs:inbox") -> None:
        self._client = derive(client, TIMEOUT_SECONDS)
        self._prefix = prefix

    def mark_if_new(self, key: str, ttl_seconds: float = TTL_SECONDS) -> bool:
        milliseconds = _milliseconds(ttl_seconds)
        token = uuid.uuid4().bytes
        with _translated():
            return _repeated_once(lambda: self._set_if_new(self._name(key), token, milliseconds))

    def is_marked(self, key: str) -> bool:
        with _translated():
            return _repeated_once(lambda: bool(self._client.exists(self._name(key))))

    def mark(self, key: str, ttl_seconds: float = TTL_SECONDS) -> None:
        milliseconds = _milliseconds(ttl_seconds)
        with _translated():
            _repeated_once(lambda: bool(self._client.set(self._name(key), b"", px=milliseconds)))

    def purge_expired(self) -> int:
        """Nothing is left to remove; returns 0."""
        return 0

    def close(self) -> None:
        """Close the store's connections."""
        self._client.close()

    def _set_if_new(self, name: str, token: bytes, milliseconds: int) -> bool:
        # the token tells a mark of ours, whose reply was lost, from another's
        return bool(self._client.set(name, token, nx=True, px=milliseconds)) or self._client.get(name) == token

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{stored_key(key)}"


def _milliseconds(ttl_seconds: float) -> int:
    return math.ceil(expiry(0, ttl_seconds) * 1000)


def _repeated_once(call: Any) -> bool:
    try:
        return bool(call())
    except redis.ConnectionError:
        return bool(call())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise translate(error) from error
