"""Waiting for results by asking again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any

from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends import base
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, TimeoutError
from svcjobs_celery_compat.result import ResultSet


class SyncBackendMixin:
    """A backend that has to be asked.

    All intervals and timeouts are in seconds; a timeout of None waits for ever, of 0 not at all.
    """

    _ensure_not_eager: Any
    get_many: Any
    get_task_meta: Any

    def iter_native(
        self,
        result: Any,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
    ) -> Iterable[tuple[str, Any]]:
        """Id and stored result of each member of a result set, as they become ready; of a nested set its results."""
        self._ensure_not_eager()
        results = result.results
        if not results:
            return iter([])
        return self._iter_ready(results, timeout, interval, no_ack, on_message, on_interval)

    def _iter_ready(self, results: Any, *options: Any) -> Iterator[tuple[str, Any]]:
        task_ids = set()
        for each in results:
            if isinstance(each, ResultSet):
                yield each.id, each.results
            else:
                task_ids.add(each.id)
        timeout, interval, no_ack, on_message, on_interval = options
        yield from self.get_many(
            task_ids,
            timeout=timeout, interval=interval, no_ack=no_ack, on_message=on_message, on_interval=on_interval,
        )  # fmt: skip

    def wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        callback: Callable[[str, Any], Any] | None = None,
        propagate: bool = True,
    ) -> Any:
        """The result of a task, once it is ready.

        Raises:
            TimeoutError: it wasn't, in time.
            ImproperlyConfigured: `on_message` is given: there are no messages.
        """
        self._ensure_not_eager()
        if on_message is not None:
            raise ImproperlyConfigured("Backend does not support on_message callback")
        meta = self.wait_for(result.id, timeout=timeout, interval=interval, on_interval=on_interval, no_ack=no_ack)
        if not meta:
            return None
        result._maybe_set_cache(meta)
        return result.maybe_throw(propagate=propagate, callback=callback)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> dict[str, Any]:
        """What is stored about a task, once it is ready.

        Raises:
            TimeoutError: it wasn't, in time.
        """
        self._ensure_not_eager()
        pauses = Pauses(timeout, interval)
        while True:
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if meta["status"] in states.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            if not pauses.pause():
                raise TimeoutError("The operation timed out.")

    def add_pending_result(self, result: Any, weak: bool = False) -> Any:
        """Somebody waits for `result`."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nobody waits for `result` any more."""
        return result

    @property
    def is_async(self) -> bool:
        """Whether results are told, instead of asked for."""
        return False


class Pauses:
    """The pauses of one wait: of `interval` each, together no longer than `timeout`, and none of them in vain.

    What lies between pauses counts as well: a store that answers slowly doesn't make a wait longer.
    """

    def __init__(self, timeout: float | None, interval: float) -> None:
        self._timeout = timeout
        self._interval = interval
        self._paused = 0.0
        self._started_at = monotonic()

    def pause(self) -> bool:
        """Sleep; False, at once, when the time is up."""
        if self._timeout is None:
            base.time.sleep(self._interval)
            return True
        left = self._timeout - self._paused
        if left <= 0 or monotonic() - self._started_at >= self._timeout:
            return False
        seconds = min(self._interval, left)
        base.time.sleep(seconds)
        self._paused += seconds
        return True
