"""A task class with a ``__call__`` of its own calls that of Task: the request on the stack stays the message's."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.app.task import Task as BaseTask

_patched: dict[str, Any] = {}


def install_protection() -> None:
    """Let ``Task.__call__`` keep the request of the task that the worker runs, the first time it is called."""
    if "call" in _patched:
        return
    call = _patched["call"] = BaseTask.__call__

    def __protected_call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        stack = self.request_stack
        request = stack.top
        if request and not request._protected and len(stack) == 1 and not request.called_directly:
            request._protected = 1
            return self.run(*args, **kwargs)
        return call(self, *args, **kwargs)

    BaseTask.__call__ = __protected_call__  # type: ignore[method-assign]  # that is the point


def remove_protection() -> None:
    """Restore ``Task.__call__``."""
    call = _patched.pop("call", None)
    if call is not None:
        BaseTask.__call__ = call  # type: ignore[method-assign]
