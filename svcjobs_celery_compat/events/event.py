"""What an event is, and where it is sent."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

from kombu import Exchange

__all__ = ("Event", "event_exchange", "get_exchange", "group_from")

EVENT_EXCHANGE_NAME = "celeryev"

event_exchange = Exchange(EVENT_EXCHANGE_NAME, type="topic")
"""The exchange of events, on brokers that have topics."""


def Event(
    type: str,
    _fields: Mapping[str, Any] | None = None,
    __dict__: Callable[..., dict[str, Any]] = dict,
    __now__: Callable[[], float] = time.time,
    **fields: Any,
) -> dict[str, Any]:
    """An event: a dictionary with a type, and a ``timestamp``, which is now unless the fields have one."""
    event = __dict__(_fields or {}, **fields)
    event.setdefault("timestamp", __now__())
    event["type"] = type
    return event


def group_from(type: str) -> str:
    """The first word of an event's type: ``task`` of ``task-sent``."""
    return type.partition("-")[0]


def get_exchange(conn: Any, name: str = EVENT_EXCHANGE_NAME) -> Any:
    """The exchange of events for a connection: a fanout on Redis, a topic elsewhere."""
    exchange = copy.copy(event_exchange)
    if conn.transport.driver_type in {"redis", "gcpubsub"}:
        exchange.type = "fanout"
    exchange.name = name
    return exchange
