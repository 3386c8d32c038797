"""How the steps of a chain grow together: what ``|`` and ``chain(…)`` make of them."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

from svcjobs_celery_compat.canvas.signatures import Signature


def maybe_unroll_group(group: Any) -> Any:
    """The one signature in ``group``, or ``group`` if it has several or none."""
    # len() of a group made of a generator runs the generator
    try:
        size = len(group.tasks)
    except TypeError:
        try:
            size = group.tasks.__length_hint__()
        except AttributeError:
            return group
    return next(iter(group.tasks)) if size == 1 else group


def _is_empty_group(task: Any) -> bool:
    from svcjobs_celery_compat.canvas.groups import group

    return isinstance(task, group) and not task.tasks


def _merge_chain_step(steps: list[Any], other: Any, clone_other: bool = True) -> Any:
    """Add ``other`` to the steps of a chain, in place.

    A group of one is its member, an empty one is nothing. What follows a group becomes the body of a chord, what
    follows a chord joins its body, unless it is a chord itself. The steps that are there are changed: pass clones.

    Returns:
        None, or NotImplemented if ``other`` is no signature.
    """
    from svcjobs_celery_compat.canvas.chains import _chain
    from svcjobs_celery_compat.canvas.chords import _chord
    from svcjobs_celery_compat.canvas.groups import group

    if isinstance(other, group):
        other = maybe_unroll_group(other)
        if _is_empty_group(other):
            return None
    if isinstance(other, _chain):
        merged = [_merge_chain_step(steps, task, clone_other=False) for task in other.unchain_tasks()]
        return NotImplemented if NotImplemented in merged else None
    if not isinstance(other, Signature):
        return NotImplemented

    last = steps[-1] if steps else None
    if isinstance(last, _chord) and not isinstance(other, _chord):
        last.body = last.body | other
        return None
    if clone_other:
        other = other.clone()
    if isinstance(last, group) and not isinstance(other, group):
        steps[-1] = _chord(last, body=other, app=last._app)
        if len(steps) > 1 and isinstance(steps[-2], _chord):  # two chords in a row: the second continues the first
            continued = steps.pop()
            steps[-1].body = steps[-1].body | continued
    else:
        steps.append(other)
    return None


def _fold_chain(tasks: Any) -> Any:
    """The tasks joined by ``|``, each cloned once, the last not at all."""
    from svcjobs_celery_compat.canvas.chains import _chain
    from svcjobs_celery_compat.canvas.groups import group

    tasks = [_as_signature(task) for task in tasks]
    steps: list[Any] = []
    for at, task in enumerate(tasks):
        first = _chain().__or__(task) if not steps and isinstance(task, (group, _chain)) else None
        if first is not None and not isinstance(first, _chain):  # it begins with a group: a group or chord, no chain
            return reduce(operator.or_, tasks[at + 1 :], first)
        if _merge_chain_step(steps, task, clone_other=at < len(tasks) - 1) is NotImplemented:
            return reduce(operator.or_, tasks[at:], _chain(*steps))
    return _chain(steps)


def _as_signature(task: Any) -> Any:
    return Signature.from_dict(task) if isinstance(task, dict) and not isinstance(task, Signature) else task
