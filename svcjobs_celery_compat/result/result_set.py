"""Several results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import proxy

from vine import barrier, promise

from svcjobs_celery_compat import states
from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, TimeoutError
from svcjobs_celery_compat.result.blocking import assert_will_not_block
from svcjobs_celery_compat.result.result import ResultBase

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery


class ResultSet(ResultBase):
    """Results that are waited for together.

    Args:
        results: of tasks, or of groups of them.
        app: the application; that of the first result by default.
        ready_barrier: a barrier that is waited for instead of one over `results`.
    """

    _app: Any = None
    id: Any = None
    results: list[Any]

    def __init__(self, results: list[Any], app: Celery | None = None, ready_barrier: Any = None, **kwargs: Any) -> None:
        self._app = app
        self.results = results
        self.on_ready = promise(args=(proxy(self),))
        self._set_ready_barrier(ready_barrier or _barrier_of(results or ()))

    def _set_ready_barrier(self, ready_barrier: Any) -> None:
        self._on_full = ready_barrier
        self._on_full.then(promise(self._on_ready, weak=True))

    def _on_ready(self) -> None:
        backend = self.backend
        if backend is None or backend.is_async:  # results of tasks that ran here and now have none
            self.on_ready()

    def add(self, result: Any) -> None:
        """Wait for `result` as well, unless it is in the set."""
        if result in self.results:
            return
        self.results.append(result)
        if not self._on_full.p.ready:
            _add(self._on_full, result)
        elif not result.on_ready.ready:  # a barrier that was passed stays so: another one is for the next callbacks
            self.on_ready = promise(args=(proxy(self),))
            self._set_ready_barrier(_barrier_of([result]))

    def remove(self, result: Any) -> None:
        """Wait no longer for `result` (or an id).

        Raises:
            KeyError: it isn't in the set.
        """
        if isinstance(result, str):
            result = self.app.AsyncResult(result)
        try:
            self.results.remove(result)
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: Any) -> None:
        """Wait no longer for `result`, if it is in the set."""
        with suppress(KeyError):
            self.remove(result)

    def update(self, results: Iterable[Any]) -> None:
        """Wait for each of `results` as well."""
        for each in results:
            self.add(each)

    def clear(self) -> None:
        """Wait for nothing."""
        self.results[:] = []

    def successful(self) -> bool:
        """Whether all tasks returned."""
        return all(each.successful() for each in self.results)

    def failed(self) -> bool:
        """Whether a task failed."""
        return any(each.failed() for each in self.results)

    def maybe_throw(self, callback: Callable[[str, Any], Any] | None = None, propagate: bool = True) -> None:
        """Raise what a task raised, if that is known."""
        for each in self.results:
            each.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw  # its old name

    def waiting(self) -> bool:
        """Whether a task isn't done."""
        return any(not each.ready() for each in self.results)

    def ready(self) -> bool:
        """Whether all tasks are done."""
        return all(each.ready() for each in self.results)

    def completed_count(self) -> int:
        """How many tasks returned."""
        return sum(int(each.successful()) for each in self.results)

    def forget(self) -> None:
        """Remove all results from the backend."""
        for each in self.results:
            each.forget()

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Let no worker run these tasks; the arguments are those of :meth:`AsyncResult.revoke`."""
        self.app.control.revoke(
            [each.id for each in self.results],
            connection=connection, timeout=timeout, terminate=terminate, signal=signal, reply=wait,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> Any:
        """:meth:`join`, in the way that the backend does best."""
        if disable_sync_subtasks:
            assert_will_not_block()
        join = self.join_native if self.supports_native_join else self.join
        return join(
            timeout=timeout, propagate=propagate, interval=interval, callback=callback, no_ack=no_ack,
            on_message=on_message, disable_sync_subtasks=disable_sync_subtasks, on_interval=on_interval,
        )  # fmt: skip

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> Any:
        """The values of all tasks in their order, waiting for one after the other.

        Args:
            timeout: seconds to wait for all together; None waits for ever, 0 not at all.
            propagate: raise what a task raised; False has it in its place.
            interval: seconds between two looks, where the backend has to be asked.
            callback: called with id and value of each, in their order; nothing is returned then.
            no_ack: acknowledge messages by themselves (rpc only).
            on_message: refused: see :meth:`join_native`.
            disable_sync_subtasks: refuse to wait within a task.
            on_interval: called while waiting.

        Raises:
            TimeoutError: they weren't ready in time.
            ImproperlyConfigured: `on_message` is given.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        if on_message is not None:
            raise ImproperlyConfigured("Backend does not support on_message callback")
        values = []
        started_at = monotonic()
        for each in self.results:
            left = None if timeout is None else max(timeout - (monotonic() - started_at), 0)
            if left == 0 and not each.ready():
                raise TimeoutError("join operation timed out")
            value = each.get(
                timeout=left, propagate=propagate, interval=interval, no_ack=no_ack, on_interval=on_interval,
                disable_sync_subtasks=disable_sync_subtasks,
            )  # fmt: skip
            if callback:
                callback(each.id, value)
            else:
                values.append(value)
        return None if callback else values

    def then(self, callback: Callable[[Any], Any], on_error: Any = None, weak: bool = False) -> Any:
        """Call `callback` with this set once all are ready."""
        return self.on_ready.then(callback, on_error)

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
    ) -> Iterable[tuple[str, Any]]:
        """Id and stored result of each task, as they become ready; of a group in the set, its results."""
        self._on_full.finalize()
        return self.backend.iter_native(  # type: ignore[no-any-return]
            self, timeout=timeout, interval=interval, no_ack=no_ack, on_message=on_message, on_interval=on_interval
        )

    def join_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: Callable[[Any], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> Any:
        """The values of all tasks in their order, waiting for all at once; the callback is called as they come.

        The arguments are those of :meth:`join`; `on_message` is called with each message of the backend.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        places = None if callback else {each.id: place for place, each in enumerate(self.results)}
        values: list[Any] = [None] * len(self.results)
        for task_id, meta in self.iter_native(timeout, interval, no_ack, on_message, on_interval):
            value = self._value_of(meta, propagate, disable_sync_subtasks)
            if callback:
                callback(task_id, value)
            elif places is not None:
                values[places[task_id]] = value
        return None if callback else values

    @staticmethod
    def _value_of(meta: Any, propagate: bool, disable_sync_subtasks: bool) -> Any:
        if isinstance(meta, list):  # the results of a group in the set
            return [each.get(propagate=propagate, disable_sync_subtasks=disable_sync_subtasks) for each in meta]
        if propagate and meta["status"] in states.PROPAGATE_STATES:
            raise meta["result"]
        return meta["result"]

    def _iter_meta(self, **kwargs: Any) -> Iterator[Any]:
        return (
            meta for _, meta in self.backend.get_many({each.id for each in self.results}, max_iterations=1, **kwargs)
        )

    def _failed_join_report(self) -> Iterator[Any]:
        return (
            each for each in self.results if each.backend.is_cached(each.id) and each.state in states.PROPAGATE_STATES
        )

    def __len__(self) -> int:
        return len(self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ResultSet):
            return other.results == self.results
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its members change

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(str(each.id) for each in self.results)}]>"

    @property
    def supports_native_join(self) -> bool | None:
        """Whether the backend can wait for several results at once; None of an empty set."""
        return self.results[0].supports_native_join if self.results else None

    @property
    def app(self) -> Any:
        """The application that the results belong to."""
        if self._app is None:
            self._app = self.results[0].app if self.results else current_app._get_current_object()
        return self._app

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    @property
    def backend(self) -> Any:
        """Where the results are kept."""
        return self.app.backend if self.app else self.results[0].backend


def _barrier_of(results: Iterable[Any]) -> Any:
    """A barrier that is passed once all of `results` are ready; more can be added to one of none."""
    full = barrier()
    for each in results:
        _add(full, each)
    if full.size:
        full.finalize()
    return full


def _add(full: Any, result: Any) -> None:
    full.size += 1  # first: a result that is ready passes at once
    result.then(full, weak=True)  # the set has its results; a set that nobody has any more waits for nothing
