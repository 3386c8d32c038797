"""Which queues are bound to which exchange, for all clients: one SET per exchange."""

from __future__ import annotations

import json
from typing import Any

import redis

Binding = tuple[str, str, str]
"""Routing key, pattern, queue: what kombu's exchange types look through."""


class Bindings:
    """The tables of exchanges under ``{root}:kombu:bindings:<exchange>``.

    Args:
        client: of the server.
        root: what all keys begin with.
    """

    def __init__(self, client: redis.Redis, root: str) -> None:
        self._client = client
        self._root = root

    def add(self, exchange: str, binding: Binding) -> None:
        """Bind a queue."""
        self._client.sadd(self._key(exchange), json.dumps(binding))

    def remove(self, exchange: str, binding: Binding) -> None:
        """Undo a binding."""
        self._client.srem(self._key(exchange), json.dumps(binding))

    def table(self, exchange: str) -> list[Binding]:
        """All bindings of an exchange."""
        members: Any = self._client.smembers(self._key(exchange))
        return [tuple(json.loads(member)) for member in members]

    def _key(self, exchange: str) -> str:
        return f"{self._root}:kombu:bindings:{exchange}"
