"""One job at a time in the main thread, where signals reach it: the pools ``prefork`` and ``solo``."""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import functools
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType

from svcjobs.application import Application
from svcjobs.errors import ConfigurationError, TimeLimitExceeded
from svcjobs.execution import Execution, ended, execute_here
from svcjobs.hooks import hook
from svcjobs.job import Job
from svcjobs.limits import Alarm, Limits, limits_of
from svcjobs.pools.deadlines import Deadlines
from svcjobs.pools.own_loop import OwnLoop
from svcjobs.pools.slots import Ended, Run, Slots
from svcjobs.pools.tokens import Tokens
from svcjobs.running_table import HardLimit

KILL_AFTER_SECONDS = 1.0
"""After the hard limit: a handler that holds the GIL lets no thread fail its job, so the process just ends, and the
keeper fails it."""
MARGIN_SECONDS = 0.1


class MainThreadPool:
    """A plain handler gets its soft limit, and its cancellation, by SIGALRM; a coroutine at its next await.

    At the hard limit a thread fails the job and the I/O thread, when that is settled, kills the process.

    Args:
        limits: time limits of the jobs.
    """

    ended: Ended

    def __init__(self, limits: Limits) -> None:
        self.slots = Slots(1)
        self._limits = limits
        self._deadlines = Deadlines("svcjobs-hard-limit")
        self._tokens = Tokens()
        self._loop = OwnLoop()
        self._interruptible: Run | None = None
        self._alarms: deque[Alarm] = deque()
        """Of the handler that runs, with instants of ``time.monotonic()``."""

    @property
    def loop_at(self) -> float | None:
        return None

    def run(self, application: Application, begin: Callable[[], object]) -> None:
        self._application = application
        signal.signal(signal.SIGALRM, self._interrupt)
        self._loop.finish(application.startup())
        try:
            begin()
            while self._tokens.get():
                while run := self.slots.take():
                    self._execute(run)
        finally:
            self._loop.finish(application.shutdown())
            self._loop.close()

    def start(self, jobs: Sequence[Job]) -> None:
        self.slots.put(jobs)
        self._tokens.put(True)

    def resize(self, concurrency: int) -> None:
        raise ConfigurationError(f"{concurrency} jobs at once: this pool runs one in a process, use more processes")

    def cancel(self, run: Run) -> None:
        run.cancelled = True
        if not self._loop.cancel() and (main := threading.main_thread().ident) is not None:
            signal.pthread_kill(main, signal.SIGALRM)

    def stop(self) -> None:
        self._tokens.put(False)

    def _execute(self, run: Run) -> None:
        limits = limits_of(run.job, self._limits, kills=True)
        hard_seconds = limits.hard_seconds
        if hard_seconds is not None:
            self._limit(run, hard_seconds)
        execution = execute_here(run.job, self._application, functools.partial(self._make, run, limits))
        if hard_seconds is not None and not self._deadlines.remove(run):
            return  # too late: it has failed, and this process is about to be killed
        if hard_seconds is not None:
            faulthandler.cancel_dump_traceback_later()
            if self.slots.table is not None:
                self.slots.table.limit(None)
        self.slots.leave(run, execution)
        self.ended(run, execution)

    def _limit(self, run: Run, seconds: float) -> None:
        self._deadlines.add(run, seconds, functools.partial(self._overtime, run, seconds))
        faulthandler.dump_traceback_later(seconds + KILL_AFTER_SECONDS, exit=True, file=2)
        at_once = hook(self._application, "failed") is not None
        if self.slots.table is not None and (not at_once or run.job.attempts < run.job.max_attempts):
            over_at = time.monotonic() + seconds + KILL_AFTER_SECONDS - MARGIN_SECONDS
            self.slots.table.limit(HardLimit(seconds, over_at, at_once))

    def _make(self, run: Run, limits: Limits, call: functools.partial[object]) -> object:
        alarms = limits.alarms(run.job)
        # a coroutine is only made by the call: what interrupts that does no harm
        return self._loop.finish(self._interruptibly(run, alarms, call), alarms, run)

    def _interruptibly(self, run: Run, alarms: Sequence[Alarm], call: Callable[[], object]) -> object:
        context = contextvars.copy_context()
        try:
            if alarms:
                now = time.monotonic()
                self._alarms = deque((now + seconds, make_error) for seconds, make_error in alarms)
                signal.setitimer(signal.ITIMER_REAL, alarms[0][0])
            self._interruptible = run
            try:
                if run.cancelled:  # before there was anything to interrupt
                    raise asyncio.CancelledError
                return context.run(call)
            finally:
                self._interruptible = None
        finally:
            self._interruptible = None  # once more: the signal may have come in the line above
            if alarms:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._alarms.clear()

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        run = self._interruptible
        if run is None:
            return
        if run.cancelled:
            self._interruptible = None
            raise asyncio.CancelledError
        if self._alarms and (now := time.monotonic()) >= self._alarms[0][0] - 0.001:
            _, make_error = self._alarms.popleft()
            if self._alarms:
                signal.setitimer(signal.ITIMER_REAL, max(self._alarms[0][0] - now, 0.001))
            raise make_error()

    def _overtime(self, run: Run, seconds: float) -> None:
        run.fatal = True
        execution: Execution = ended(
            run.job, None, TimeLimitExceeded(run.job.name, seconds), seconds, self._application
        )
        self.ended(run, execution)
