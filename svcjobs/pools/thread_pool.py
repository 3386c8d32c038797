"""Each job in a thread, several at once: the pool ``threads``."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
import threading
from collections.abc import Callable, Sequence

from svcjobs.application import Application
from svcjobs.errors import JobTimeoutError, SoftTimeLimitExceeded
from svcjobs.execution import execute_here
from svcjobs.interruption import ThreadCall
from svcjobs.job import Job
from svcjobs.limits import Alarm, Limits, limits_of
from svcjobs.pools.deadlines import Deadlines
from svcjobs.pools.own_loop import OwnLoop
from svcjobs.pools.slots import Ended, Run, Slots
from svcjobs.pools.tokens import Tokens
from svcjobs.threads import is_async


class ThreadPool:
    """A plain handler gets its limits, and its cancellation, at its next bytecode.

    A coroutine runs in an event loop of its thread, not in that of the start-up hooks, and can be cancelled.

    Args:
        concurrency: how many jobs run at once.
        limits: their time limits.
    """

    ended: Ended

    def __init__(self, concurrency: int, limits: Limits) -> None:
        self.slots = Slots(concurrency)
        self._limits = limits
        self._deadlines = Deadlines("svcjobs-soft-limit")
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._main_tokens = Tokens()
        self._running: dict[Run, tuple[OwnLoop, ThreadCall]] = {}

    @property
    def loop_at(self) -> float | None:
        return None

    def run(self, application: Application, begin: Callable[[], object]) -> None:
        self._application = application
        loop = OwnLoop()
        loop.finish(application.startup())
        try:
            self._open(range(self.slots.concurrency))
            begin()
            self._main_tokens.get()
        finally:
            loop.finish(application.shutdown())
            loop.close()

    def start(self, jobs: Sequence[Job]) -> None:
        self.slots.put(jobs)
        for _ in range(min(len(jobs), self.slots.concurrency)):
            self._tokens.put(True)

    def resize(self, concurrency: int) -> None:
        before = self.slots.concurrency
        self.slots.resize(concurrency)
        self._open(range(before, concurrency))
        for _ in range(before, concurrency):
            self._tokens.put(True)  # for what waits already
        for _ in range(concurrency, before):
            self._tokens.put(False)

    def cancel(self, run: Run) -> None:
        run.cancelled = True
        if running := self._running.get(run):
            loop, in_thread = running
            if not loop.cancel():
                in_thread.interrupt(asyncio.CancelledError, again=True)

    def stop(self) -> None:
        for _ in range(self.slots.concurrency):
            self._tokens.put(False)
        self._main_tokens.put(False)

    def _open(self, numbers: range) -> None:
        for number in numbers:
            threading.Thread(target=self._serve, name=f"svcjobs-handler-{number}", daemon=True).start()

    def _serve(self) -> None:
        loop = OwnLoop()
        while self._tokens.get():
            while run := self.slots.take():
                self._execute(run, loop)
        loop.close()

    def _execute(self, run: Run, loop: OwnLoop) -> None:
        self._running[run] = loop, ThreadCall()
        alarms = limits_of(run.job, self._limits, kills=False).alarms(run.job)
        execution = execute_here(run.job, self._application, functools.partial(self._make, run, alarms))
        del self._running[run]
        self.slots.leave(run, execution)
        self.ended(run, execution)

    def _make(self, run: Run, alarms: Sequence[Alarm], call: functools.partial[object]) -> object:
        loop, in_thread = self._running[run]
        if is_async(call.func):
            return loop.finish(call(), alarms, run)
        context = contextvars.copy_context()

        def begin() -> object:
            if run.cancelled:  # before there was anything to interrupt
                raise asyncio.CancelledError
            return context.run(call)

        return loop.finish(self._interruptibly(in_thread, alarms, begin), alarms, run)

    def _interruptibly(self, in_thread: ThreadCall, alarms: Sequence[Alarm], begin: Callable[[], object]) -> object:
        if not alarms:
            return in_thread.run(begin)
        due: list[Exception] = []

        def interrupt(make_error: Callable[[], Exception]) -> None:
            due.append(make_error())
            in_thread.interrupt(_raised_for(due[-1]), again=True)

        for seconds, make_error in alarms:
            self._deadlines.add(make_error, seconds, functools.partial(interrupt, make_error))
        try:
            return in_thread.run(begin)
        except Exception as error:
            if not due or type(error) is not (raised := _raised_for(due[-1])) or error.args != raised().args:
                raise  # the handler's own
            raise due[-1].with_traceback(error.__traceback__) from None
        finally:
            for _, make_error in alarms:
                self._deadlines.remove(make_error)


def _raised_for(told: Exception) -> type[Exception]:
    """What is raised for it: no values can be carried into a thread, so it is a class that is made without any."""
    return SoftTimeLimitExceeded if isinstance(told, JobTimeoutError) else type(told)
