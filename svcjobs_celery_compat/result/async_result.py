"""The result of one task."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vine import promise

from svcjobs_celery_compat import result as results
from svcjobs_celery_compat import states
from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.exceptions import IncompleteStream, TimeoutError
from svcjobs_celery_compat.result.blocking import assert_will_not_block
from svcjobs_celery_compat.result.meta import TaskMeta
from svcjobs_celery_compat.result.tuples import result_from_tuple

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery

R = TypeVar("R")


class AsyncResult(TaskMeta, Generic[R]):
    """The result of a task that was sent: ``AsyncResult[int]`` is that of one that returns an int.

    Args:
        id: the task's id.
        backend: where its result is kept; the application's backend by default.
        task_name: not used; there since Celery has it.
        app: the application; the current one by default.
        parent: the result of what called the task.

    Raises:
        ValueError: `id` is None.
    """

    app: Any = None
    TimeoutError = TimeoutError
    id: Any = None
    backend: Any = None

    def __init__(
        self, id: Any, backend: Any = None, task_name: str | None = None, app: Celery | None = None, parent: Any = None
    ) -> None:
        if id is None:
            raise ValueError(f"AsyncResult requires valid id, not {type(id).__name__}")
        self.app = app_or_default(app or self.app)
        self.id = id
        self.backend = backend or self.app.backend
        self.parent = parent
        self.on_ready = promise(self._on_fulfilled, weak=True)
        self._cache: Any = None
        self._ignored = False

    @property
    def ignored(self) -> bool:
        """Whether the task's result isn't stored; :meth:`get` returns None at once then."""
        return getattr(self, "_ignored", False)

    @ignored.setter
    def ignored(self, value: bool) -> None:
        self._ignored = value

    def then(self, callback: Callable[[Any], Any], on_error: Any = None, weak: bool = False) -> Any:
        """Call `callback` with this result once it is ready.

        Args:
            callback: what is called.
            on_error: called with the exception when the task failed and that is raised.
            weak: don't keep this object alive for it.
        """
        self.backend.add_pending_result(self, weak=weak)
        return self.on_ready.then(callback, on_error)

    def _on_fulfilled(self, result: Any) -> Any:
        self.backend.remove_pending_result(self)
        return result

    def as_tuple(self) -> Any:
        """``((id, parent as a tuple or None), None)``: what :func:`result_from_tuple` takes."""
        return (self.id, self.parent and self.parent.as_tuple()), None

    def as_list(self) -> list[Any]:
        """The ids of this, its parent, its parent's parent …"""
        return [self.id, *(self.parent.as_list() if self.parent is not None else ())]

    def forget(self) -> None:
        """Remove the result, and those of all parents, from the backend."""
        self._cache = None
        if self.parent:
            self.parent.forget()
        self.backend.remove_pending_result(self)
        self.backend.forget(self.id)

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Let no worker run the task.

        Args:
            connection: the connection that tells the workers.
            terminate: end the task's process when it runs.
            signal: the name of the signal for that; TERM by default.
            wait: wait for the workers' answers.
            timeout: how long, in seconds.
        """
        self.app.control.revoke(
            self.id, connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout
        )

    def revoke_by_stamped_headers(
        self,
        headers: dict[str, Any],
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Let no worker run tasks that are stamped with these headers; otherwise as :meth:`revoke`."""
        self.app.control.revoke_by_stamped_headers(
            headers, connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout
        )

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[Any], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        disable_sync_subtasks: bool = True,
        EXCEPTION_STATES: Iterable[str] = states.EXCEPTION_STATES,
        PROPAGATE_STATES: Iterable[str] = states.PROPAGATE_STATES,
    ) -> R:
        """Wait for the task, and return what it returned.

        Args:
            timeout: seconds to wait at most; None waits for ever, 0 not at all.
            propagate: raise what the task raised; False returns it.
            interval: seconds between two looks, where the backend has to be asked.
            no_ack: acknowledge the message by itself (rpc only).
            follow_parents: raise what a parent raised.
            callback: called with the id and the value.
            on_message: called with each message of the backend, where it sends some.
            on_interval: called while waiting.
            disable_sync_subtasks: refuse to wait within a task.

        Raises:
            TimeoutError: it wasn't ready in time.
            RuntimeError: a task may not wait for another.
            Exception: what the task raised.
        """
        if self.ignored:
            return None  # type: ignore[return-value]  # documented: there is nothing to wait for
        if disable_sync_subtasks:
            assert_will_not_block()
        waiting = promise()
        if follow_parents and propagate and self.parent:
            waiting = promise(self._maybe_reraise_parent_error, weak=True)
            self._maybe_reraise_parent_error()
        if on_interval:
            waiting.then(on_interval)
        if self._cache:
            return self.maybe_throw(propagate=propagate, callback=callback)  # type: ignore[no-any-return]
        self.backend.add_pending_result(self, weak=True)  # a wait that ends early leaves nothing behind
        return self.backend.wait_for_pending(  # type: ignore[no-any-return]
            self,
            timeout=timeout, interval=interval, on_interval=waiting, no_ack=no_ack,
            propagate=propagate, callback=callback, on_message=on_message,
        )  # fmt: skip

    wait = get  # its old name

    def _maybe_reraise_parent_error(self) -> None:
        for node in reversed(list(self._parents())):
            node.maybe_throw()

    def _parents(self) -> Iterator[Any]:
        node = self.parent
        while node:
            yield node
            node = node.parent

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """This result and its value, then those of its children, theirs … as they become ready.

        A task that returns ``group(square_of.s(i) for i in range(10))()``, of which each calls one that squares::

            >>> result = squares.delay(10)
            >>> [v for _, v in result.collect() if isinstance(v, int)]
            [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]

        Args:
            intermediate: leave out the children of what isn't ready, instead of raising.
            kwargs: given to :meth:`get`.

        Raises:
            IncompleteStream: one isn't ready.
        """
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    def get_leaf(self) -> Any:
        """The value of the last child of the last child …"""
        value = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Pairs of a result and a child of it, level by level; the first is None and this."""
        level: deque[tuple[Any, Any]] = deque([(None, self)])
        while level:
            parent, node = level.popleft()
            yield parent, node
            if node.ready():
                level.extend((node, child) for child in node.children or ())
            elif not intermediate:
                raise IncompleteStream

    def exists(self) -> bool:
        """Whether anything is stored about the task."""
        return bool(self.backend.task_result_exists(self.id))

    def ready(self) -> bool:
        """Whether the task is done: it returned, failed or was revoked."""
        return self.state in self.backend.READY_STATES

    def successful(self) -> bool:
        """Whether the task returned."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether the task failed."""
        return self.state == states.FAILURE

    def throw(self, *args: Any, **kwargs: Any) -> None:
        """Raise an exception through whoever waits for this."""
        self.on_ready.throw(*args, **kwargs)

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        """What is known of the value now; an exception is raised when `propagate` says so."""
        meta = self._get_task_meta()
        value = meta["result"]
        if propagate and meta["status"] in states.PROPAGATE_STATES:
            self.throw(value, self._to_remote_traceback(meta.get("traceback")))
        if callback is not None:
            callback(self.id, value)
        return value

    maybe_reraise = maybe_throw  # its old name

    def _to_remote_traceback(self, tb: str | None) -> Any:
        if tb and results.tblib is not None and self.app.conf.task_remote_tracebacks:
            return results.tblib.Traceback.from_string(tb).as_traceback()
        return None

    def build_graph(self, intermediate: bool = False, formatter: Any = None) -> Any:
        """The tree of this result and its children as a :class:`DependencyGraph`."""
        from svcjobs_celery_compat.utils.graph import DependencyGraph, GraphFormatter

        graph = DependencyGraph(formatter=formatter or GraphFormatter(root=self.id, shape="oval"))
        for parent, node in self.iterdeps(intermediate=intermediate):
            graph.add_arc(node)
            if parent:
                graph.add_edge(parent, node)
        return graph

    def __str__(self) -> str:
        return str(self.id)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return bool(other.id == self.id)
        if isinstance(other, str):
            return bool(other == self.id)
        return NotImplemented

    def __copy__(self) -> AsyncResult[R]:
        return self.__class__(*self.__reduce_args__())

    def __reduce__(self) -> Any:
        return self.__class__, self.__reduce_args__()

    def __reduce_args__(self) -> tuple[Any, ...]:
        return self.id, self.backend, None, None, self.parent

    def __del__(self) -> None:
        """Nobody can ask any more: the subscription is given back."""
        if self.backend is not None and not sys.is_finalizing():
            self.backend.remove_pending_result(self)

    @cached_property
    def graph(self) -> Any:
        return self.build_graph()

    @property
    def supports_native_join(self) -> bool:
        """Whether the backend can wait for several results at once."""
        return bool(self.backend.supports_native_join)

    def _maybe_set_cache(self, meta: Any) -> Any:
        """Keep what is stored when it is final, and tell whoever waits."""
        if not meta or meta["status"] not in states.READY_STATES:
            return meta
        final = self._set_cache(self.backend.meta_from_decoded(meta))
        if not self.on_ready.ready:  # a result set counts each of its results once, however often it is told
            self.on_ready(self)
        return final

    def _get_task_meta(self) -> Any:
        if self._cache is None:
            return self._maybe_set_cache(self.backend.get_task_meta(self.id))
        return self._cache

    def _iter_meta(self, **kwargs: Any) -> Iterator[Any]:
        return iter([self._get_task_meta()])

    def _set_cache(self, d: dict[str, Any]) -> dict[str, Any]:
        children = d.get("children")
        if children:
            d["children"] = [result_from_tuple(child, self.app) for child in children]
        self._cache = d
        return d

    @property
    def task_id(self) -> Any:
        """The task's id."""
        return self.id

    @task_id.setter
    def task_id(self, id: Any) -> None:
        self.id = id
