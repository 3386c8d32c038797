"""The transport options, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from svcjobs.errors import ConfigurationError

DEFAULT_ROOT = "jobs"
_CONNECTION = (
    "socket_keepalive", "socket_keepalive_options", "socket_connect_timeout", "client_name", "health_check_interval",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """``transport_options`` of a kombu connection, ``broker_transport_options`` of Celery.

    Args:
        root: prefix of the default queue, and what all keys begin with.
        visibility_timeout: how long a lease lasts, in seconds. A live consumer extends it.
        max_attempts: deliveries before a message goes to the dead letter queue.
        dead_letter_rejected: whether rejected messages go there; else they are dropped.
        dead_letter_exhausted: the same for those delivered ``max_attempts`` times.
        priority_steps: the priorities in use, ascending; one between two of them counts as the lower one.
        queue_order_strategy: ``round_robin``, ``sorted``, ``priority``, or a class with that interface.
        fanout_prefix: put before the exchange's name in the key of a fanout exchange; ``{db}`` is the database.
        fanout_patterns: whether binding keys of fanout exchanges may hold ``#`` and ``*``.
        timeout_seconds: how long a call to the server may take, tries included.
        master_name: the Sentinels' name of the server.
        sentinel: further options for Sentinel.
        credential_provider: redis-py's, or the dotted name of its class.
        connection: options for the connections, in redis-py's names.
    """

    root: str
    visibility_timeout: float
    max_attempts: int
    dead_letter_rejected: bool
    dead_letter_exhausted: bool
    priority_steps: tuple[int, ...]
    queue_order_strategy: Any
    fanout_prefix: str
    fanout_patterns: bool
    timeout_seconds: float
    master_name: str | None
    sentinel: dict[str, Any]
    credential_provider: Any
    connection: dict[str, Any]


def read_options(given: Mapping[str, Any]) -> TransportOptions:
    """The options out of what the user gave. Names that kombu's Redis transport has mean the same here.

    Raises:
        ConfigurationError: a value can't be used.
    """
    if not given.get("ack_emulation", True):
        raise ConfigurationError("ack_emulation is off: leases can't be switched off, remove the option")
    fanout_prefix = given.get("fanout_prefix", True)
    socket_timeout = given.get("socket_timeout")
    return TransportOptions(
        root=f"{given.get('global_keyprefix') or ''}{given.get('prefix') or DEFAULT_ROOT}",
        visibility_timeout=_number(given, "visibility_timeout", 60.0, float),
        max_attempts=_number(given, "max_attempts", 20, int),
        dead_letter_rejected=bool(given.get("dead_letter_rejected", True)),
        dead_letter_exhausted=bool(given.get("dead_letter_exhausted", True)),
        priority_steps=_steps(given.get("priority_steps") or (0, 3, 6, 9)),
        queue_order_strategy=given.get("queue_order_strategy") or "round_robin",
        fanout_prefix=fanout_prefix if isinstance(fanout_prefix, str) else "/{db}." if fanout_prefix else "",
        fanout_patterns=bool(given.get("fanout_patterns", True)),
        # a try waits for a third of the time at most, see svcjobs._redis.link
        timeout_seconds=2.0 if socket_timeout is None else 3 * _number(given, "socket_timeout", 0.0, float),
        master_name=given.get("master_name"),
        sentinel={name: given[name] for name in ("min_other_sentinels", "sentinel_kwargs") if name in given},
        credential_provider=given.get("credential_provider"),
        connection={name: given[name] for name in _CONNECTION if given.get(name) is not None},
    )


def _number(given: Mapping[str, Any], name: str, default: float, read: Callable[[Any], Any]) -> Any:
    value = given.get(name, default)
    try:
        number = read(value)
    except (TypeError, ValueError):
        number = 0
    if not number > 0:
        raise ConfigurationError(f"the transport option {name} is {value!r}: give a positive number")
    return number


def _steps(given: Any) -> tuple[int, ...]:
    try:
        steps = tuple(sorted({0, *map(int, given)}))
    except (TypeError, ValueError):
        steps = (-1,)
    if not 0 <= steps[0] <= steps[-1] <= 9:
        raise ConfigurationError(f"the transport option priority_steps is {given!r}: give numbers from 0 to 9")
    return steps
