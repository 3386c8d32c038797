"""Each job in a thread, several at once: the pool ``threads``."""

from __future__ import annotations

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
from svcjobs.limits import Limits, limits_of
from svcjobs.pools.deadlines import Deadlines
from svcjobs.pools.own_loop import OwnLoop
from svcjobs.pools.slots import Ended, Run, Slots
from svcjobs.pools.tokens import Tokens
from svcjobs.threads import is_async


class ThreadPool:
    """A plain handler gets its soft limit at its next bytecode; it can't be cancelled: it runs on, for nothing.

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
        self._loops: dict[Run, OwnLoop] = {}

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
        if loop := self._loops.get(run):
            loop.cancel()

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
        self._loops[run] = loop
        alarm = limits_of(run.job, self._limits, kills=False).alarm(run.job)
        execution = execute_here(run.job, self._application, functools.partial(self._make, loop, alarm, run))
        del self._loops[run]
        self.slots.leave(run)
        self.ended(run, execution)

    def _make(
        self, loop: OwnLoop, alarm: tuple[float, Exception] | None, run: Run, call: functools.partial[object]
    ) -> object:
        context = contextvars.copy_context()
        if alarm is None:
            return loop.finish(context.run(call), run=run)
        if is_async(call.func):
            return loop.finish(call(), alarm, run)
        return loop.finish(self._interruptibly(alarm, functools.partial(context.run, call)), alarm, run)

    def _interruptibly(self, alarm: tuple[float, Exception], call: Callable[[], object]) -> object:
        seconds, told = alarm
        # no values can be carried into a thread: a class is raised there, and one that is made without any
        raised = SoftTimeLimitExceeded if isinstance(told, JobTimeoutError) else type(told)
        in_thread = ThreadCall()
        self._deadlines.add(in_thread, seconds, functools.partial(in_thread.interrupt, raised))
        try:
            return in_thread.run(call)
        except raised as error:
            if error.args != raised().args:
                raise  # the handler's own
            raise told.with_traceback(error.__traceback__) from None
        finally:
            self._deadlines.remove(in_thread)
