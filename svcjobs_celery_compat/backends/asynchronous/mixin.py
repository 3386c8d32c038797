"""The part of a backend that is told of results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from svcjobs_celery_compat.backends.asynchronous import waiters


class AsyncBackendMixin:
    """A backend that is told of results, through its ``result_consumer``."""

    result_consumer: Any
    _pending_results: Any
    _pending_messages: Any
    _ensure_not_eager: Any

    def _collect_into(self, result: Any, bucket: deque[Any]) -> None:
        """Put `result` into `bucket` once it is ready."""
        self.result_consumer.buckets[id(result)] = bucket

    def iter_native(self, result: Any, no_ack: bool = True, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """Id and stored result of each member of a result set, as they become ready; of a nested set its results."""
        self._ensure_not_eager()
        ready: deque[Any] = deque()
        for member in result.results:
            if getattr(member, "_cache", True):  # a set in the set: whoever reads it waits for its members
                ready.append(member)
            else:
                self._collect_into(member, ready)
        return self._iter_ready(result, ready, no_ack, kwargs)

    def _iter_ready(
        self, result: Any, ready: deque[Any], no_ack: bool, options: dict[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        buckets = self.result_consumer.buckets
        try:
            if result.results:
                for _ in self._wait_for_pending(result, no_ack=no_ack, **options):
                    while ready:
                        yield _id_and_value(ready.popleft())
            # those whose result was read meanwhile by somebody else never came by
            ready.extend(member for member in result.results if buckets.pop(id(member), None) is not None)
            while ready:
                yield _id_and_value(ready.popleft())
        finally:
            for member in result.results:
                buckets.pop(id(member), None)

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        """`result` waits for its task.

        Args:
            result: a result.
            weak: it may go away.
            start_drainer: fetch from now on, where a greenlet does that.
        """
        if start_drainer:
            self.result_consumer.drainer.start()
        meta = self._pending_messages.take(result.id, None)
        if meta is not None:  # it was told before anybody asked
            result._maybe_set_cache(meta)
        else:
            self._add_pending_result(result.id, result, weak=weak)
        return result

    def _add_pending_result(self, task_id: str, result: Any, weak: bool = False) -> None:
        if not waiters.add(self._pending_results, result, weak):
            self.result_consumer.consume_from(task_id)

    def add_pending_results(self, results: Any, weak: bool = False) -> list[Any]:
        """Each of `results` waits for its task."""
        self.result_consumer.drainer.start()
        return [self.add_pending_result(result, weak=weak, start_drainer=False) for result in results]

    def remove_pending_result(self, result: Any) -> Any:
        """`result` waits no more."""
        waiters.remove(self._pending_results, result)
        self.on_result_fulfilled(result)
        return result

    def on_result_fulfilled(self, result: Any) -> None:
        """`result` waits no more: when nobody else does, its subscription is given back."""
        if not waiters.is_waited_for(self._pending_results, result.id):
            self.result_consumer.cancel_for(result.id)

    def wait_for_pending(
        self, result: Any, callback: Callable[[str, Any], Any] | None = None, propagate: bool = True, **kwargs: Any
    ) -> Any:
        """The value of `result`, once it is ready.

        Raises:
            TimeoutError: it wasn't, in time.
        """
        self._ensure_not_eager()
        for _ in self._wait_for_pending(result, **kwargs):
            pass
        return result.maybe_throw(callback=callback, propagate=propagate)

    def _wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        on_interval: Callable[[], Any] | None = None,
        on_message: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[None]:
        waiting: Iterator[None] = self.result_consumer._wait_for_pending(
            result, timeout=timeout, on_interval=on_interval, on_message=on_message, **kwargs
        )
        return waiting

    @property
    def is_async(self) -> bool:
        """Whether results are told, instead of asked for."""
        return True


def _id_and_value(member: Any) -> tuple[str, Any]:
    meta = getattr(member, "_cache", None)
    return member.id, member.results if meta is None else meta
