"""The stubs of the scripts that keep account of live workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from svcjobs._redis.calls import Call
from svcjobs._redis.scripts import script


def beat(prefix: str, name: str, state: str, seconds: int) -> Call[int]:
    """Say that a worker lives; how many are known. May be sent again."""
    return Call(script("beat"), (prefix,), (name, state, seconds), int)


def still(prefix: str, name: str) -> Call[bool]:
    """Say that a worker lives on as it was; whether it is known. May be sent again."""
    return Call(script("still"), (prefix,), (name,), bool)


def due(prefixes: Sequence[str], now: str) -> Call[list[float]]:
    """Seconds until a reserve of each queue finds something to do. May be sent again."""

    def read(reply: list[bytes]) -> list[float]:
        return [float(seconds) if seconds else math.inf for seconds in reply]

    return Call(script("due"), (prefixes[0],), (now, *prefixes[1:]), read)


def leave(prefix: str, name: str) -> Call[int]:
    """Forget a worker. May be sent again."""
    return Call(script("leave"), (prefix,), (name,), int)


def workers(prefix: str, limit: int) -> Call[tuple[float, list[tuple[str, float, str]]]]:
    """The server's time; and name, last beat and state of each worker."""

    def read(reply: list[Any]) -> tuple[float, list[tuple[str, float, str]]]:
        known = [(name.decode(), float(at), state.decode("utf-8", "replace")) for name, at, state in reply[1:]]
        return float(reply[0]), known

    return Call(script("workers"), (prefix,), (limit,), read)
