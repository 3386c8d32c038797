"""A timer in a thread of its own; the schedule is kombu's."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from threading import TIMEOUT_MAX as THREAD_TIMEOUT_MAX
from time import sleep
from typing import Any, ClassVar

from kombu.asynchronous.timer import Entry, logger, to_timestamp
from kombu.asynchronous.timer import Timer as Schedule

__all__ = ("Entry", "Schedule", "Timer", "to_timestamp")

TIMER_DEBUG = os.environ.get("TIMER_DEBUG")


class Timer(threading.Thread):
    """Calls functions at their time; the thread starts with the first of them.

    :param schedule: kombu's timer, to share one.
    :param on_error: called with what a function raises.
    :param on_tick: called with the seconds before each pause.
    :param on_start: called with the timer before the thread starts.
    :param on_exit: called with what an entry raised to end the program, which otherwise ends the thread alone.
    :param max_interval: the longest pause, in seconds.
    """

    Entry = Entry
    Schedule = Schedule

    running: bool = False
    on_tick: Callable[[float], None] | None = None
    _timer_count: ClassVar[Any] = count(1)

    def __init__(
        self,
        schedule: Any = None,
        on_error: Callable[[Exception], None] | None = None,
        on_tick: Callable[[float], None] | None = None,
        on_start: Callable[[Timer], None] | None = None,
        max_interval: float | None = None,
        on_exit: Callable[[SystemExit], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(daemon=True, name=f"Timer-{next(self._timer_count)}")
        # an empty schedule is false
        self.schedule = self.Schedule(on_error=on_error, max_interval=max_interval) if schedule is None else schedule
        self.on_start = on_start
        self.on_exit = on_exit
        self.on_tick = on_tick or self.on_tick
        self.mutex = threading.Lock()
        self.not_empty = threading.Condition(self.mutex)
        self.__is_shutdown = threading.Event()
        self.__is_stopped = threading.Event()

    def _next_entry(self) -> float | None:
        with self.not_empty:
            delay, entry = next(self.scheduler)
            if entry is None:
                if delay is None:
                    self.not_empty.wait(1.0)
                return delay  # type: ignore[no-any-return]  # of kombu
        try:
            self.schedule.apply_entry(entry)
        except SystemExit as exc:
            if self.on_exit is None:
                raise
            self.on_exit(exc)
        return None

    __next__ = next = _next_entry

    def run(self) -> None:
        try:
            self.running = True
            self.scheduler = iter(self.schedule)
            while not self.__is_shutdown.is_set():
                delay = self._next_entry()
                if delay:
                    if self.on_tick:
                        self.on_tick(delay)
                    sleep(delay)
            with suppress(TypeError):  # the interpreter is ending
                self.__is_stopped.set()
        except Exception as exc:  # noqa: BLE001 - of any kind: what waits for the timer would wait for ever
            logger.error("Thread Timer crashed: %r", exc, exc_info=True)
            sys.stderr.flush()
            os._exit(1)

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self.__is_shutdown.set()
        if self.running:
            self.__is_stopped.wait()
            self.join(THREAD_TIMEOUT_MAX)
            self.running = False

    def ensure_started(self) -> None:
        """Start the thread, if it doesn't run."""
        if not self.running and not self.is_alive():
            if self.on_start:
                self.on_start(self)
            self.start()

    def _do_enter(self, meth: str, *args: Any, **kwargs: Any) -> Any:
        self.ensure_started()
        with self.mutex:
            entry = getattr(self.schedule, meth)(*args, **kwargs)
            self.not_empty.notify()
            return entry

    def enter(self, entry: Any, eta: float, priority: int | None = None) -> Any:
        """Schedule an entry at an instant."""
        return self._do_enter("enter_at", entry, eta, priority=priority)

    def call_at(self, *args: Any, **kwargs: Any) -> Any:
        """Call a function at an instant."""
        return self._do_enter("call_at", *args, **kwargs)

    def enter_after(self, *args: Any, **kwargs: Any) -> Any:
        """Schedule an entry in so many seconds."""
        return self._do_enter("enter_after", *args, **kwargs)

    def call_after(self, *args: Any, **kwargs: Any) -> Any:
        """Call a function in so many seconds."""
        return self._do_enter("call_after", *args, **kwargs)

    def call_repeatedly(self, *args: Any, **kwargs: Any) -> Any:
        """Call a function each so many seconds."""
        return self._do_enter("call_repeatedly", *args, **kwargs)

    def exit_after(self, secs: float, priority: int = 10) -> None:
        """End the process in so many seconds."""
        self.call_after(secs, sys.exit, priority)

    def cancel(self, tref: Any) -> None:
        """Don't run an entry."""
        tref.cancel()

    def clear(self) -> None:
        """Run none of the entries."""
        self.schedule.clear()

    def empty(self) -> bool:
        """Return whether there are no entries."""
        return not len(self)

    def __len__(self) -> int:
        return len(self.schedule)

    def __bool__(self) -> bool:
        return True

    @property
    def queue(self) -> Any:
        """The entries, in their order."""
        return self.schedule.queue
