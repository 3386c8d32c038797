"""Threads for plain functions, so that they don't block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from svcjobs.interruption import ThreadCall

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Outcome: TypeAlias = tuple[Any, BaseException | None]
"""Returned and raised, as a pair: a future refuses to carry some exceptions, StopIteration for one."""

IDLE_SECONDS = 30.0


@dataclass(slots=True)
class _Call:
    function: Callable[[], Any]
    unclaimed: Callable[[Any], None] | None
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[_Outcome]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    thread: ThreadCall = field(default_factory=ThreadCall)
    lock: threading.Lock = field(default_factory=threading.Lock)
    outcome: _Outcome | None = None
    answered: bool = False
    left: bool = False

    def run(self) -> None:
        """Call the function, in a thread."""
        value, error = None, None
        try:
            value = self.thread.run(self.context.run, self.function)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, the caller gets it and the thread lives on
            error = raised
        self.outcome = value, error

    def answer(self) -> None:
        """Tell the caller."""
        assert self.outcome is not None  # noqa: S101 - it has run
        with self.lock:
            left, self.answered = self.left, True
        if left:
            self._drop(self.outcome)
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._resolve, self.outcome)

    def leave(self) -> None:
        """The caller doesn't want the outcome any more."""
        with self.lock:
            self.left = True
            outcome = self.outcome if self.answered else None
        if outcome is not None:
            threading.Thread(target=self._drop, args=[outcome], daemon=True).start()

    async def interrupt(self, error: type[Exception]) -> _Outcome:
        """Raise ``error`` in the function, and wait for what it makes of that."""
        with self.lock:
            if self.answered and self.outcome is not None:
                return self.outcome
            self.done = self.loop.create_future()
        self.thread.interrupt(error)
        return await self.done

    def _resolve(self, outcome: _Outcome) -> None:
        if not self.done.done():
            self.done.set_result(outcome)

    def _drop(self, outcome: _Outcome) -> None:
        value, error = outcome
        if self.unclaimed is None or error is not None:
            return
        try:
            self.unclaimed(value)
        except Exception as raised:  # noqa: BLE001 - nobody waits for it any more
            logger.warning("What a cancelled call returned couldn't be put back: %s", raised)


class Threads:
    """As many threads as there are calls at once; idle ones are used again, and end after half a minute.

    Not a ``ThreadPoolExecutor``: that one has a fixed size, so that calls which never return starve the rest,
    and the interpreter waits for its threads at exit. These are daemons.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._closed = False

    async def call(self, function: Callable[[], T], *, unclaimed: Callable[[T], None] | None = None) -> T:
        """What ``function`` returns or raises in a thread, in a copy of the caller's context.

        A cancelled caller leaves at once. The function runs on, and ``unclaimed`` gets what it returns, in a thread.
        """
        loop = asyncio.get_running_loop()
        call = _Call(function, unclaimed, loop, loop.create_future())
        self._hand_over(call)
        try:
            value, error = await self._outcome(call)
        except asyncio.CancelledError:
            call.leave()
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error  # breaks the cycle between the exception and this frame
        result: T = value
        return result

    async def _outcome(self, call: _Call) -> _Outcome:
        try:
            return await call.done
        except Exception as limit:  # noqa: BLE001 - the future carries no exception: this one was thrown in, at a limit
            value, error = await call.interrupt(type(limit))
            # no values can be carried into the thread: what comes out of it says which job and which limit it was
            told = limit.with_traceback(error.__traceback__) if type(error) is type(limit) else error
            return value, told

    async def run(self, function: Callable[[], object], *, like: object) -> object:
        """Call ``function`` here when ``like`` is an ``async`` function, else in a thread; await what comes back."""
        value = function() if is_async(like) else await self.call(function)
        return await value if inspect.isawaitable(value) else value

    def close(self) -> None:
        """Let idle threads end; those at work end when their call returns."""
        with self._lock:
            self._closed = True
            leaving, self._idle = self._idle, 0
        for _ in range(leaving):
            self._calls.put(None)

    def _hand_over(self, call: _Call) -> None:
        with self._lock:
            start = self._idle == 0
            if not start:
                self._idle -= 1  # that thread is promised to this call
        self._calls.put(call)
        if start:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while call := self._next():
            call.run()
            with self._lock:
                closed = self._closed
                self._idle += not closed  # before the answer: the caller's next call takes this thread again
            call.answer()
            del call  # an idle thread holds no job
            if closed:
                return

    def _next(self) -> _Call | None:
        while True:
            try:
                return self._calls.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        return None
                # every waiting thread is promised to a call that is about to come


def is_async(function: object) -> bool:
    """Whether calling ``function`` only makes a coroutine, so that it may be called in the event loop."""
    call = getattr(type(function), "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
