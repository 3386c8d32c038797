"""Turns of one duty, which a thread of its own takes whenever it is woken, and other threads may take in its place."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """At most one thread takes a turn at a time.

    Args:
        turn: does what there is to do.
    """

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._alone = threading.Lock()
        # a SimpleQueue, as a signal handler may put into it whatever it interrupted
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._woken = False

    def wake(self) -> None:
        """Let the thread take another turn. From any thread, and from a signal handler."""
        if not self._woken:
            self._woken = True
            self._wakes.put(None)

    def sleep(self, seconds: float) -> bool:
        """Wait until woken, ``seconds`` at most; tells whether it was."""
        try:
            self._wakes.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return False
        return True

    def take(self) -> None:
        """Take a turn, once no other thread is at it."""
        self._woken = False
        with self._alone:
            self._turn()

    def take_here(self) -> bool:
        """Take a turn in this thread, which needn't wait for the other to wake up; False when one is being taken."""
        if not self._alone.acquire(blocking=False):
            return False
        try:
            self._turn()
        finally:
            self._alone.release()
        return True

    def between(self, ask: Callable[[], T]) -> T:
        """What ``ask`` returns while nobody takes a turn."""
        with self._alone:
            return ask()
