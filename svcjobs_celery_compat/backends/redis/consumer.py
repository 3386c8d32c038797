"""Results that Redis tells of: one subscription a task, all on one connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends import redis as names
from svcjobs_celery_compat.backends.asynchronous import BaseResultConsumer

LONGEST_WAIT_SECONDS = 1.0  # a socket that another thread closed wakes nobody
UNREAD_COMMANDS = 256  # each is answered, and answers that nobody reads make the server close the connection


class _LockDepth(threading.local):
    """How often this thread has taken the lock."""

    value = 0


class ResultConsumer(BaseResultConsumer):
    """Subscribes to results, for any number of threads.

    The connection is used by one thread at a time, under a lock. Results give their subscriptions back when they are
    collected as garbage, which can happen in any thread at any step, within the lock too: such a command is put off
    until whoever has the lock is through.
    """

    _pubsub: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._get_key_for_task = self.backend.get_key_for_task
        self._decode_result = self.backend.decode_result
        self._connection_errors = self.backend.connection_errors
        self.subscribed_to: set[bytes] = set()
        self._reset_sync()

    def _reset_sync(self) -> None:
        self._pubsub_lock = threading.RLock()
        self._lock_depth = _LockDepth()
        self._pending_unsubscribe: set[bytes] = set()
        self._unread = 0
        self._pubsub_read = threading.Condition()
        self._socket_waiter = False

    def on_after_fork(self) -> None:
        """The parent's connection isn't ours, nor are its locks."""
        self._reset_sync()
        with suppress(KeyError):
            self.backend.forget_connections()
            if self._pubsub is not None:
                self._pubsub.close()
        super().on_after_fork()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have the connection for oneself; what was put off meanwhile is sent on the way out."""
        with self._pubsub_lock:
            self._lock_depth.value += 1
            try:
                yield
            except BaseException:
                self._flush_and_log()
                raise
            else:
                self._flush_if_outermost()
            finally:
                self._lock_depth.value -= 1
        self._flush_if_free()

    def _flush_and_log(self) -> None:
        try:
            self._flush_if_outermost()
        except Exception:  # noqa: BLE001  # the error that is being raised says more
            names.logger.exception("Failed to unsubscribe pending results")

    def _flush_if_outermost(self) -> None:
        if self._lock_depth.value == 1:
            self._flush_pending_unsubscribe()

    def _flush_if_free(self) -> None:
        """Send what was put off, unless somebody has the lock: they will."""
        while self._pending_unsubscribe and not self._lock_depth.value and self._pubsub_lock.acquire(blocking=False):
            self._lock_depth.value += 1
            try:
                self._flush_pending_unsubscribe()
            finally:
                self._lock_depth.value -= 1
                self._pubsub_lock.release()

    def _flush_pending_unsubscribe(self) -> None:
        while self._pending_unsubscribe:
            keys = self._take_pending() & self.subscribed_to
            self.subscribed_to -= keys
            if keys and self._pubsub is not None:
                self._unsubscribe(keys)

    def _unsubscribe(self, keys: set[bytes]) -> None:
        """A finalizer may be what waits for this: a server that is away is left to whoever fetches next."""
        try:
            self._pubsub.unsubscribe(*keys)
            self._unread += len(keys)
        except self._connection_errors:
            with suppress(*self._connection_errors):
                self._reconnect_pubsub()

    def _take_pending(self) -> set[bytes]:
        taken, self._pending_unsubscribe = self._pending_unsubscribe, set()
        return taken

    def start(self, initial_task_id: str, **kwargs: Any) -> None:
        """Connect, and listen for a first task."""
        with self._locked():
            if self._pubsub is None:
                self._pubsub = self.backend.new_pubsub()
            self._consume_from(initial_task_id)

    def stop(self) -> None:
        """Let go of the connection."""
        with self._locked():
            self._close_pubsub()

    def consume_from(self, task_id: str) -> None:
        """Listen for a task."""
        if self._pubsub is None:
            self.start(task_id)
        else:
            with self._locked():
                self._consume_from(task_id)

    def _consume_from(self, task_id: str) -> None:
        key = self._get_key_for_task(task_id)
        self._pending_unsubscribe.discard(key)
        if key in self.subscribed_to:
            return
        self.subscribed_to.add(key)
        with self.reconnect_on_error():
            self._pubsub.subscribe(key)
            self._unread += 1
            self._read_answers()

    def _read_answers(self) -> None:
        """Read the answers to commands when many have come, though nobody waits for a result."""
        if self._unread < UNREAD_COMMANDS:
            return
        for _ in range(self._unread):
            if not self._pubsub.connection.can_read(timeout=0):
                break
            self._hand_out(self._pubsub.get_message(timeout=0))
        self._unread = 0

    def listen_without_retry(self, task_id: str) -> None:
        """Listen for a task, or raise one of ``_connection_errors`` at once."""
        key = self._get_key_for_task(task_id)
        with self._locked():
            if self._pubsub is None:
                self._pubsub = self.backend.new_pubsub()
            self._pending_unsubscribe.discard(key)
            if key not in self.subscribed_to:
                self._pubsub.subscribe(key)
                self.subscribed_to.add(key)
                self._unread += 1
                self._read_answers()

    def cancel_for(self, task_id: str) -> None:
        """Listen for a task no more; never waits for the lock."""
        if not self.subscribed_to:  # as in a program that asks for no results
            return
        key = self._get_key_for_task(task_id)
        if key in self.subscribed_to:
            self._pending_unsubscribe.add(key)
            self._flush_if_free()

    def drain_events(self, timeout: float | None = None) -> None:
        """Fetch once, for at most `timeout` seconds (a second, when that is longer)."""
        pubsub = self._pubsub
        if pubsub is None and self.subscribed_to:
            with self.reconnect_on_error():
                self._reconnect()
            return
        if pubsub is None:
            if timeout:
                names.time.sleep(timeout)
            return
        waits = False
        try:
            ready, waits = self._wait_for_pubsub(pubsub, timeout)
            if ready:
                self._drain_one(pubsub, timeout)
        finally:
            if waits:
                self._stop_waiting()

    def _drain_one(self, pubsub: Any, timeout: float | None) -> None:
        message = None
        with self._locked():
            if self._pubsub is not pubsub:
                return
            with self.reconnect_on_error():
                if pubsub.connection.can_read(timeout=0):
                    message = pubsub.get_message(timeout=timeout)
                    self._unread = max(0, self._unread - 1)
        self._hand_out(message)

    def _hand_out(self, message: Any) -> None:
        if message and message["type"] == "message":
            self.on_state_change(self._decode_result(message["data"]), message)

    def _wait_for_pubsub(self, pubsub: Any, timeout: float | None) -> tuple[bool, bool]:
        """Wait, without the lock, for something to read: whether there may be, and whether this thread waited for it.

        One thread watches the socket; the others wait for it to have read.
        """
        seconds = LONGEST_WAIT_SECONDS if timeout is None else min(timeout, LONGEST_WAIT_SECONDS)
        if not pubsub.subscribed:
            return bool(pubsub.subscribed_event.wait(seconds)), False
        with self._locked():
            if self._pubsub is not pubsub:
                return False, False
            with self.reconnect_on_error():
                if pubsub.connection.can_read(timeout=0):
                    return True, False
            sock = getattr(pubsub.connection, "_sock", _NO_SOCKET)
        if sock is None:
            return True, False
        if sock is _NO_SOCKET:
            names.time.sleep(seconds)
            return True, False
        with self._pubsub_read:
            if self._socket_waiter:
                self._pubsub_read.wait(seconds)
                return True, False
            self._socket_waiter = True
        return bool(names._socket_readable(sock, seconds)), True

    def _stop_waiting(self) -> None:
        with self._pubsub_read:
            self._socket_waiter = False
            self._pubsub_read.notify_all()

    def _reconnect(self) -> None:
        self.backend.ensure(self._reconnect_pubsub, ())

    def _reconnect_pubsub(self) -> None:
        """Connect anew, look at what happened meanwhile, and listen for what didn't."""
        with self._locked():
            self._close_pubsub()
            if self.subscribed_to:
                self._look_at(self.backend.mget(self.subscribed_to))
            self.subscribed_to -= self._take_pending()
            self._unread = 0
            pubsub = self.backend.new_pubsub()
            if self.subscribed_to:
                pubsub.subscribe(*self.subscribed_to)
            else:
                _connect_unsubscribed(pubsub)
            self._pubsub = pubsub

    def _close_pubsub(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with suppress(*self._connection_errors):
                pubsub.close()

    def _look_at(self, stored: Any) -> None:
        for payload in stored:
            if payload:
                self.on_state_change(self._decode_result(payload), None)

    def on_state_change(self, meta: dict[str, Any], message: Any) -> None:
        """A task is in the state `meta`; when that is final, there is nothing more to listen for."""
        super().on_state_change(meta, message)
        if meta["status"] in states.READY_STATES:
            self.cancel_for(meta["task_id"])

    def on_wait_for_pending(self, result: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Look at what is stored: it may have been told before anybody listened."""
        for meta in result._iter_meta(**kwargs):
            if meta is not None:
                self.on_state_change(meta, None)
                if meta["status"] in (states.SUCCESS, states.FAILURE):
                    self._forget_message(meta.get("task_id"))

    def _forget_message(self, task_id: Any) -> None:
        """What nobody waited for was kept for whoever comes; it is in Redis anyway."""
        messages = self.backend._pending_messages
        if task_id in messages:
            with suppress(KeyError):
                messages.pop(task_id)


_NO_SOCKET = object()


def _connect_unsubscribed(pubsub: Any) -> None:
    pool = pubsub.connection_pool
    try:
        pubsub.connection = pool.get_connection()
    except TypeError:  # redis-py before 5.3 asks for the name of a command
        pubsub.connection = pool.get_connection("pubsub", pubsub.shard_hint)
    pubsub.connection.register_connect_callback(pubsub.on_connect)  # it subscribes again when the connection is lost
