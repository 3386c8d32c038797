"""Writing and reading results and groups, with the retries that the configuration allows."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from kombu.utils.encoding import ensure_bytes

from svcjobs_celery_compat import states
from svcjobs_celery_compat._state import get_current_task
from svcjobs_celery_compat.backends.base.encoding import Encoding
from svcjobs_celery_compat.exceptions import BackendGetMetaError, BackendStoreError
from svcjobs_celery_compat.utils.time import get_exponential_backoff_interval

logger = logging.getLogger("celery.backends.base")

W_EAGER = (
    "Results are not stored in backend and should not be retrieved when task_always_eager is enabled, "
    "unless task_store_eager_result is enabled."
)


class Storing(Encoding):
    """The part of a backend that stores results and finds them again.

    A store of one's own writes ``_store_result``, ``_get_task_meta_for``, ``_forget``, ``_save_group``,
    ``_restore_group`` and ``_delete_group``. Arguments are given by position, but ``request`` and options.
    """

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store the state and result of a task.

        Raises:
            BackendStoreError: retries are configured, and the last of them failed as well.
        """
        result = self.encode_result(result, state)
        self._ensure_retryable(
            self._store_result, task_id, result, state, traceback, request=request,
            fallback_exc=lambda message: BackendStoreError(message, task_id=task_id, state=state),
            fallback_msg="failed to store result on the backend", **kwargs,
        )  # fmt: skip
        return result

    def forget(self, task_id: str) -> None:
        """Remove what is stored about a task."""
        self._cache.pop(task_id, None)
        self._ensure_retryable(self._forget, task_id)

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        """All that is stored about a task; of one that nothing is known of the state is PENDING.

        Args:
            task_id: its id.
            cache: False asks the store even when this process has seen the task's success.

        Raises:
            BackendGetMetaError: retries are configured, and the last of them failed as well.
        """
        self._ensure_not_eager()
        if cache and task_id in self._cache:
            cached: dict[str, Any] = self._cache[task_id]
            return cached
        meta: dict[str, Any] = self._ensure_retryable(
            self._get_task_meta_for, task_id,
            fallback_exc=lambda message: BackendGetMetaError(message, task_id=task_id),
            fallback_msg="failed to get meta",
        )  # fmt: skip
        if cache and meta.get("status") == states.SUCCESS:
            self._cache[task_id] = meta
        return meta

    def get_state(self, task_id: str) -> str:
        """The state of a task."""
        state: str = self.get_task_meta(task_id)["status"]
        return state

    get_status = get_state

    def get_traceback(self, task_id: str) -> str | None:
        """The traceback of a task that failed."""
        return self.get_task_meta(task_id).get("traceback")

    def get_result(self, task_id: str) -> Any:
        """What a task returned or raised."""
        return self.get_task_meta(task_id).get("result")

    def get_children(self, task_id: str) -> Any:
        """The results, as tuples, of what a task called."""
        return self.get_task_meta(task_id).get("children")

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is stored about a task."""
        state: str = self._get_task_meta_for(task_id)["status"]
        return state != states.PENDING

    def is_cached(self, task_id: str) -> bool:
        """Whether this process has seen the task's success, and remembers."""
        return task_id in self._cache

    def reload_task_result(self, task_id: str) -> None:
        """Ask the store about a task, whatever is remembered."""
        self._cache[task_id] = self.get_task_meta(task_id, cache=False)

    def save_group(self, group_id: str, result: Any) -> Any:
        """Store a group result, so that its id is enough to get it back."""
        return self._ensure_retryable(self._save_group, group_id, result)

    def get_group_meta(self, group_id: str, cache: bool = True) -> Any:
        """All that is stored about a group, None when nothing is."""
        self._ensure_not_eager()
        if cache and group_id in self._cache:
            return self._cache[group_id]
        meta = self._ensure_retryable(self._restore_group, group_id)
        if cache and meta is not None:
            self._cache[group_id] = meta
        return meta

    def restore_group(self, group_id: str, cache: bool = True) -> Any:
        """The group result that was saved under that id, None when there is none."""
        meta = self.get_group_meta(group_id, cache=cache)
        return meta["result"] if meta else None

    def reload_group_result(self, group_id: str) -> None:
        """Ask the store about a group, whatever is remembered."""
        self._cache[group_id] = self.get_group_meta(group_id, cache=False)

    def delete_group(self, group_id: str) -> Any:
        """Remove a group result."""
        self._cache.pop(group_id, None)
        return self._ensure_retryable(self._delete_group, group_id)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        raise NotImplementedError("backend does not implement _store_result.")

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        raise NotImplementedError("backend does not implement _get_task_meta_for.")

    def _forget(self, task_id: str) -> Any:
        raise NotImplementedError("backend does not implement forget.")

    def _save_group(self, group_id: str, result: Any) -> Any:
        raise NotImplementedError("backend does not implement save_group.")

    def _restore_group(self, group_id: str) -> Any:
        raise NotImplementedError("backend does not implement restore_group.")

    def _delete_group(self, group_id: str) -> Any:
        raise NotImplementedError("backend does not implement delete_group.")

    def _get_result_meta(
        self, result: Any, state: str, traceback: Any, request: Any, format_date: bool = True, encode: bool = False
    ) -> dict[str, Any]:
        """What is stored about a task.

        Args:
            result: its result, encoded.
            state: its state.
            traceback: of the exception, as text.
            request: its request, if there is one: where its group, parent and children are read from, and with
                ``result_extended`` its name, arguments, worker, retries, queue and stamps.
            format_date: the date as ISO 8601, instead of a datetime.
            encode: the arguments as bytes that the serializer made.
        """
        done_at = self.app.now() if state in self.READY_STATES else None
        meta: dict[str, Any] = {
            "status": state,
            "result": result,
            "traceback": traceback,
            "children": self.current_task_children(request),
            "date_done": done_at.isoformat() if done_at and format_date else done_at,
        }
        if request and getattr(request, "group", None):
            meta["group_id"] = request.group
        if request and getattr(request, "parent_id", None):
            meta["parent_id"] = request.parent_id
        if request and self.app.conf.result_extended:
            self._extend(meta, request, encode)
        return meta

    def _extend(self, meta: dict[str, Any], request: Any, encode: bool) -> None:
        def written(value: Any) -> Any:
            return ensure_bytes(self.encode(value)) if encode and value is not None else value

        info = getattr(request, "delivery_info", None)
        meta.update(
            name=getattr(request, "task", None),
            args=written(getattr(request, "args", None)),
            kwargs=written(getattr(request, "kwargs", None)),
            worker=getattr(request, "hostname", None),
            retries=getattr(request, "retries", None),
            queue=info.get("routing_key") if info else None,
        )
        declared: Iterable[str] | None = getattr(request, "stamped_headers", None)
        if declared:
            stamps = getattr(request, "stamps", None) or {}
            meta["stamped_headers"] = declared
            meta.update((name, stamps[name]) for name in declared if name in stamps)

    def current_task_children(self, request: Any = None) -> list[Any] | None:
        """The results, as tuples, of what the task of `request` (or the current task) called; None without either."""
        request = request or getattr(get_current_task(), "request", None)
        if not request:
            return None
        return [child.as_tuple() for child in getattr(request, "children", None) or ()]

    def _ensure_not_eager(self) -> None:
        conf = self.app.conf
        if conf.task_always_eager and not conf.task_store_eager_result:
            warnings.warn(W_EAGER, RuntimeWarning, stacklevel=3)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether a command that raised this may be sent again; a store knows its own errors."""
        return False

    def on_backend_retryable_error(self, exc: BaseException) -> None:
        """Called before a command that raised `exc` is sent again."""

    def _sleep(self, amount: float) -> None:
        time.sleep(amount)

    def _ensure_retryable(
        self,
        func: Callable[..., Any],
        *args: Any,
        fallback_exc: Callable[[str], Exception] | None = None,
        fallback_msg: str = "",
        max_retries: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call `func`, again after errors that pass, when ``result_backend_always_retry`` is set.

        Args:
            func: what to call, with the other arguments.
            fallback_exc: makes the error that is raised after the last attempt, instead of the one that was met.
            fallback_msg: its message.
            max_retries: how often it is called again; ``result_backend_max_retries`` by default.
        """
        limit = self.max_retries if max_retries is None else max_retries
        retries = 0
        while True:
            try:
                return func(*args, **kwargs)
            except Exception as exc:
                if not (self.always_retry and self.exception_safe_to_retry(exc)):
                    raise
                if retries >= limit:
                    if fallback_exc is None:
                        raise
                    raise fallback_exc(fallback_msg) from exc
                retries += 1
                self._prepare_retry(exc)
                self._sleep(
                    get_exponential_backoff_interval(
                        self.base_sleep_between_retries_ms, retries, self.max_sleep_between_retries_ms, True
                    )
                    / 1000
                )

    def _prepare_retry(self, exc: Exception) -> None:
        try:
            self.on_backend_retryable_error(exc)
        except Exception:
            logger.exception("The result backend could not prepare for sending a command again")
