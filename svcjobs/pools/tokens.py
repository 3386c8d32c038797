"""What the main thread of a child waits for, without being deaf to signals."""

from __future__ import annotations

import queue

LOOK_SECONDS = 1.0
"""A signal that comes when a thread is about to sleep doesn't end that sleep, and its handler waits for it."""


class Tokens:
    """A line of true, for work, and false, for the end. The thread that waits looks for signals once a second."""

    def __init__(self) -> None:
        self._line: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def put(self, token: bool) -> None:
        """Let the waiting thread have it. Safe to use from any thread."""
        self._line.put(token)

    def get(self) -> bool:
        """The next one, waited for."""
        while True:
            try:
                return self._line.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
