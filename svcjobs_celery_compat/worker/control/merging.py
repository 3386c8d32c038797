"""The answers of the processes of a worker, made one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any


def _lists(own: list[Any], others: Sequence[list[Any]]) -> list[Any]:
    return own + [entry for other in others for entry in other]


def _dicts(own: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for part in (own, *others) for name, value in part.items()}


def _stats(own: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for part in (own, *others):
        total.update(part["total"])
    return {**own, "total": dict(total)}


def _terminated(own: Any, others: Sequence[Any]) -> Any:
    """What the process said that ended a task."""
    return next((other for other in others if "unknown" not in str(other) and "not " not in str(other)), own)


def _own(own: Any, others: Sequence[Any]) -> Any:
    return own


EVERYWHERE: dict[str, Callable[[Any, Sequence[Any]], Any]] = {
    "active": _lists,
    "reserved": _lists,
    "query_task": _dicts,
    "stats": _stats,
    "revoke": _terminated,
    "revoke_by_stamped_headers": _terminated,
    "terminate": _terminated,
    "rate_limit": _own,
    "time_limit": _own,
    "enable_events": _own,
    "disable_events": _own,
    "hello": _own,
}
"""The commands that each process has to hear, and how the answers are put together."""


def merged(command: str, own: Any, others: Sequence[Any]) -> Any:
    """One answer to a command."""
    answers = [other for other in others if other is not None]
    return EVERYWHERE[command](own, answers) if answers and own is not None else own
