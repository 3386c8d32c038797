"""What a backend is told: states of tasks, by message."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu.utils.compat import register_after_fork

from svcjobs_celery_compat.backends import asynchronous
from svcjobs_celery_compat.backends.asynchronous.drainer import drainers
from svcjobs_celery_compat.backends.asynchronous.waiters import waiting_on
from svcjobs_celery_compat.exceptions import TimeoutError

THREAD_TIMEOUT_MAX = threading.TIMEOUT_MAX

E_RETRY_LIMIT_EXCEEDED = """\
Retry limit exceeded while trying to reconnect to the Celery result store
backend. The Celery application must be restarted.
"""


class BaseResultConsumer:
    """Fetches what a backend is told, and hands it to whoever waits.

    A backend writes ``start``, ``stop``, ``drain_events``, ``consume_from``, ``cancel_for`` and, when its connection
    can be lost, ``_reconnect`` with the ``_connection_errors`` that say so.
    """

    _connection_errors: Any = ()

    def __init__(self, backend: Any, app: Any, accept: Any, pending_results: Any, pending_messages: Any) -> None:
        self.backend = backend
        self.app = app
        self.accept = accept
        self._pending_results = pending_results
        self._pending_messages = pending_messages
        self.on_message: Any = None
        self.buckets: dict[Any, deque[Any]] = {}
        self.drainer = drainers[asynchronous.detect_environment()](self)
        if register_after_fork is not None:
            register_after_fork(self, BaseResultConsumer._after_fork)

    def start(self, initial_task_id: str, **kwargs: Any) -> None:
        """Connect, and listen for a first task."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let go of the connection."""

    def drain_events(self, timeout: float | None = None) -> Any:
        """Fetch once, for at most `timeout` seconds."""
        raise NotImplementedError

    def consume_from(self, task_id: str) -> None:
        """Listen for a task."""
        raise NotImplementedError

    def cancel_for(self, task_id: str) -> None:
        """Listen for a task no more."""
        raise NotImplementedError

    @contextmanager
    def reconnect_on_error(self) -> Iterator[None]:
        """Connect anew when the connection is lost within this.

        Raises:
            RuntimeError: that didn't succeed either.
        """
        try:
            yield
        except self._connection_errors:
            try:
                self._reconnect()
            except self._connection_errors as error:
                raise RuntimeError(E_RETRY_LIMIT_EXCEEDED) from error

    def _reconnect(self) -> None:
        """Connect anew."""

    def _after_fork(self) -> None:
        self.buckets.clear()
        self.on_after_fork()

    def on_after_fork(self) -> None:
        """Called in a child process: what the parent had open isn't ours."""

    def drain_events_until(
        self, p: Any, timeout: float | None = None, on_interval: Callable[[], Any] | None = None
    ) -> Iterator[Any]:
        """Fetch until the promise `p` is kept; see :meth:`Drainer.drain_events_until`."""
        return self.drainer.drain_events_until(p, timeout=timeout, on_interval=on_interval)

    def _wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        on_interval: Callable[[], Any] | None = None,
        on_message: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[None]:
        """Fetch until `result` is ready.

        Raises:
            TimeoutError: it wasn't, in time.
        """
        self.on_wait_for_pending(result, timeout=timeout, **kwargs)
        before, self.on_message = self.on_message, on_message
        try:
            for _ in self.drain_events_until(result.on_ready, timeout=timeout, on_interval=on_interval):
                yield
                asynchronous.time.sleep(0)
        except socket.timeout:  # noqa: UP041  # the documented name
            raise TimeoutError("The operation timed out.") from None
        finally:
            self.on_message = before

    def on_wait_for_pending(self, result: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Called before fetching for `result`."""

    def on_out_of_band_result(self, message: Any) -> None:
        """A message was met elsewhere."""
        self.on_state_change(message.payload, message)

    def on_state_change(self, meta: dict[str, Any], message: Any) -> None:
        """A task is in the state `meta`: tell whoever waits; without anybody a final state is kept for a while."""
        if self.on_message:
            self.on_message(message)
        if meta["status"] not in self.backend.READY_STATES:
            return
        task_id = meta["task_id"]
        waiting = waiting_on(self._pending_results, task_id)
        if not waiting:
            self._pending_messages.put(task_id, meta)
        for result in waiting:
            result._maybe_set_cache(dict(meta))  # each makes results of the children for itself
            bucket = self.buckets.pop(id(result), None)
            if bucket is not None:
                bucket.append(result)
        asynchronous.time.sleep(0)  # let others run: greenlets may wait
