"""Raising an exception inside code that runs: at the next await of a coroutine, at the next bytecode of a thread."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Interruptible:
    """Awaits a coroutine and, once its time is over, raises an error in it at the place where it waits.

    The task is cancelled, so that whatever the coroutine waits for is cancelled too; on its way in the
    CancelledError is replaced by the error. A coroutine may catch it, clean up and go on: it comes once.

    Args:
        coroutine: what is awaited.
        seconds: its time.
        make_error: makes what is raised in it.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], seconds: float, make_error: Callable[[], Exception]) -> None:
        self._coroutine = coroutine
        self._seconds = seconds
        self._make_error: Callable[[], Exception] | None = make_error
        self._expired = False

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks await
        timer = task.get_loop().call_later(self._seconds, self._expire, task)
        try:
            return (yield from self._drive(task))
        finally:
            timer.cancel()

    def _expire(self, task: asyncio.Task[Any]) -> None:
        self._expired = True
        task.cancel()

    def _drive(self, task: asyncio.Task[Any]) -> Generator[Any, Any, Any]:
        thrown: BaseException | None = None
        while True:
            try:
                awaited = self._coroutine.send(None) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration as stop:
                return stop.value
            thrown = None
            try:
                yield awaited
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised again, in the coroutine
                thrown = self._replaced(error, task)

    def _replaced(self, error: BaseException, task: asyncio.Task[Any]) -> BaseException:
        if not isinstance(error, asyncio.CancelledError) or not self._expired or self._make_error is None:
            return error
        task.uncancel()
        make_error, self._make_error = self._make_error, None
        return make_error()


class ThreadCall:
    """A call in one thread, in which other threads can raise exceptions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._interrupted = False

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` in this thread."""
        self._thread_id = threading.get_ident()
        try:
            try:
                return function(*args)
            finally:
                self._leave()
        finally:
            self._thread_id = None  # once more: the exception may have come in the middle of leaving

    def interrupt(self, error: type[BaseException], *, again: bool = False) -> bool:
        """Raise ``error`` at the call's next bytecode; False when it has ended, or was interrupted before.

        A call that waits in C (a sleep, a socket) gets it when that returns; of several meanwhile, the last one.

        Args:
            error: its class.
            again: also when it was interrupted before.
        """
        with self._lock:
            if self._thread_id is None or (self._interrupted and not again):
                return False
            self._interrupted = True
            _raise_in(self._thread_id, error)
            return True

    def _leave(self) -> None:
        with self._lock:
            thread_id, self._thread_id = self._thread_id, None
            if self._interrupted and thread_id is not None:
                _raise_in(thread_id, None)  # if it hasn't come yet, it mustn't hit what this thread does next


def _raise_in(thread_id: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), None if error is None else ctypes.py_object(error)
    )
