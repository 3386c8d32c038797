"""How many results a member of a chord's header counts for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from svcjobs_celery_compat.canvas.links import kind
from svcjobs_celery_compat.canvas.signatures import Signature


def descend(sig_obj: Any) -> int:
    """The number of tasks in ``sig_obj`` that report to the body of the chord it is in.

    Of a chain, its last step that isn't empty; of a group, all of its tasks; of a chord, its body, or where it has none
    its header.
    """
    if not isinstance(sig_obj, Signature) and isinstance(sig_obj, dict):
        sig_obj = Signature.from_dict(sig_obj)
    form = kind(sig_obj)
    if form == "group":
        return sum(descend(task) for task in sig_obj.tasks)
    if form == "chain":
        return next((size for task in reversed(sig_obj.tasks) if (size := descend(task))), 0)
    if form == "chord":
        return descend(sig_obj.body or sig_obj.tasks)
    if isinstance(sig_obj, Signature):
        return 1
    if isinstance(sig_obj, Iterable) and not isinstance(sig_obj, str):
        return sum(1 if isinstance(task, (list, tuple)) else descend(task) for task in sig_obj)
    return len(sig_obj)
