"""Tasks that look now and then whether they are still wanted, and can so be ended from outside.

The task derives from :class:`AbortableTask` and asks :meth:`~AbortableTask.is_aborted`; who called it calls
:meth:`~AbortableAsyncResult.abort` of its result. Both sides need the same result backend, and one that keeps results.
"""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.app.task import Task
from svcjobs_celery_compat.result import AsyncResult

__all__ = ("AbortableAsyncResult", "AbortableTask")

#: The state of a call that was aborted. What the task returns afterwards takes its place.
ABORTED = "ABORTED"


class AbortableAsyncResult(AsyncResult[Any]):
    """The result of an :class:`AbortableTask`."""

    def is_aborted(self) -> bool:
        """Return whether :meth:`abort` was called, and the task hasn't ended since."""
        return bool(self.state == ABORTED)

    def abort(self) -> Any:
        """Ask the task to end. It does so when it next looks, which is up to its code."""
        return self.backend.store_result(self.id, result=None, state=ABORTED, traceback=None)


class AbortableTask(Task[..., Any]):
    """A task that can be aborted."""

    abstract = True

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AbortableAsyncResult:
        """Return the result of the call ``task_id``."""
        return AbortableAsyncResult(task_id, backend=self.backend, app=self.app, **kwargs)

    def is_aborted(self, **kwargs: Any) -> bool:
        """Return whether the caller wants no more of it.

        Parameters:
            task_id: of another call than this one.
        """
        task_id: Any = kwargs.get("task_id", self.request.id)
        result: Any = self.AsyncResult(task_id)
        return isinstance(result, AbortableAsyncResult) and result.is_aborted()
