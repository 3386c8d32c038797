"""The results that somebody waits for, by task id: strongly held ones, and others that may go away."""

from __future__ import annotations

from typing import Any
from weakref import ref


def waiting_on(pending: Any, task_id: str) -> list[Any]:
    """All results that wait for the task."""
    concrete = list(pending.concrete.get(task_id, {}).values())
    weak = (reference() for reference in list(pending.weak.get(task_id, {}).values()))
    return concrete + [result for result in weak if result is not None]


def is_waited_for(pending: Any, task_id: str) -> bool:
    """Whether a result waits for the task."""
    return task_id in pending.concrete or task_id in pending.weak


def add(pending: Any, result: Any, weak: bool) -> bool:
    """Let `result` wait for its task; False when nobody did before. One that is held strongly stays so."""
    key, known = id(result), is_waited_for(pending, result.id)
    if weak and key not in pending.concrete.get(result.id, {}):
        pending.weak.setdefault(result.id, {})[key] = ref(result)
    elif not weak:
        _drop(pending.weak, result.id, key)
        pending.concrete.setdefault(result.id, {})[key] = result
    return known


def remove(pending: Any, result: Any) -> None:
    """Let `result` wait no more; the garbage collector may have taken the reference to it already."""
    for kind in pending:
        _drop(kind, result.id, id(result))


def _drop(kind: dict[str, dict[int, Any]], task_id: str, key: int) -> None:
    waiting = kind.get(task_id)
    if waiting is not None:
        waiting.pop(key, None)
        if not waiting:
            kind.pop(task_id, None)
