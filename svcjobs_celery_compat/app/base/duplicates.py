"""Warnings about two functions that claim one task name."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from svcjobs_celery_compat.exceptions import DuplicateTaskNameWarning

W_DUPTASK = """\
Task name {0!r} is already registered to a different callable.

Existing: {1}
New:      {2}

{3}

Every task must have a unique name. Pass an explicit name= to the task decorator, or rename one of the callables.
"""

IGNORED = "The new callable is ignored: calls of this name run the existing one."
REPLACED = "The existing task is replaced: calls of this name run the new one."

_PACKAGE = str(Path(__file__).parents[2])


def caller_stacklevel() -> int:
    """Return the ``stacklevel`` at which the function that asks finds the first code outside of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def task_callable_qualname(task: Any) -> str:
    """Return where the code of a task lies: its function, or its class."""
    fun = getattr(task, "_fun", None) or type(task)
    return f"{fun.__module__}.{fun.__qualname__}"


def warn_of_duplicate(name: str, existing: str, new: str, consequence: str) -> None:
    """Warn the code that defines the second one."""
    warnings.warn(
        DuplicateTaskNameWarning(W_DUPTASK.format(name, existing, new, consequence)), stacklevel=caller_stacklevel()
    )
