"""The result of a task that was run here, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from vine import promise

from svcjobs_celery_compat import states
from svcjobs_celery_compat.exceptions import TaskRevokedError
from svcjobs_celery_compat.result.async_result import AsyncResult
from svcjobs_celery_compat.result.blocking import assert_will_not_block

R = TypeVar("R")


class EagerResult(AsyncResult[R]):
    """What ``Task.apply`` returns.

    Args:
        id: the task's id.
        ret_value: what it returned or raised.
        state: its state.
        traceback: of what it raised.
        name: the task's name.
    """

    def __init__(
        self, id: Any, ret_value: Any, state: str, traceback: str | None = None, name: str | None = None
    ) -> None:
        self.id = id
        self._result, self._state, self._traceback, self._name = ret_value, state, traceback, name
        self.on_ready = promise()
        self.on_ready(self)

    def then(self, callback: Callable[[Any], Any], on_error: Any = None, weak: bool = False) -> Any:
        """Call `callback` with this result, at once."""
        return self.on_ready.then(callback, on_error)

    @property
    def _cache(self) -> dict[str, Any]:
        return {
            "task_id": self.id,
            "result": self._result,
            "status": self._state,
            "traceback": self._traceback,
            "name": self._name,
        }

    def _get_task_meta(self) -> dict[str, Any]:
        return self._cache

    def __reduce_args__(self) -> tuple[Any, ...]:
        return self.id, self._result, self._state, self._traceback, self._name

    def ready(self) -> bool:
        """True."""
        return True

    def get(  # type: ignore[override]  # the options that have no meaning here are taken, and left alone
        self, timeout: float | None = None, propagate: bool = True, disable_sync_subtasks: bool = True, **kwargs: Any
    ) -> Any:
        """What the task returned; None in a state that has no result.

        Args:
            timeout: not used.
            propagate: raise what the task raised; False returns it.
            disable_sync_subtasks: refuse this within a task.

        Raises:
            RuntimeError: a task may not wait for another.
            Exception: what the task raised.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        if self._state in states.PROPAGATE_STATES:
            if not propagate:
                return self._result
            raise self._result if isinstance(self._result, BaseException) else Exception(self._result)
        return self._result if self._state == states.SUCCESS else None

    wait = get  # type: ignore[assignment]  # as that of get

    def forget(self) -> None:
        """Do nothing: nothing is stored."""

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Its result is that it was revoked, from now on; it ran already."""
        self._state, self._result, self._traceback = states.REVOKED, TaskRevokedError("revoked"), None

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    @property
    def supports_native_join(self) -> bool:
        """False: there is nothing to wait for."""
        return False
