"""Time, as something that can be handed in: tests move it, production reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Returns seconds since the epoch. ``time.time`` is one."""


class MovableClock:
    """A clock that stands still until a test moves it.

    Args:
        start: first reading, seconds since the epoch; the present when left out.
    """

    def __init__(self, start: float | None = None) -> None:
        self.seconds = time.time() if start is None else start

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move the clock on by ``seconds``."""
        self.seconds += seconds


def utc(seconds: float) -> datetime:
    """The instant ``seconds`` after the epoch, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
