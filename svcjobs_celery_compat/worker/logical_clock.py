"""One logical clock for the processes of a worker."""

from __future__ import annotations

import mmap

from kombu.clocks import LamportClock

_BYTES = 8


def clock_places(count: int) -> memoryview:
    """Memory that processes which are forked from here on share: a number for each of `count`."""
    return memoryview(mmap.mmap(-1, _BYTES * count)).cast("Q")


class SharedClock(LamportClock):
    """A clock that goes on from what any process of the worker has reached.

    Each process writes its own place only: none waits for another, and one that is killed leaves no lock behind. Two
    events at the very same time may get the same number, as those of two workers may.

    Args:
        places: see :func:`clock_places`.
        place: that of this process.
    """

    def __init__(self, places: memoryview, place: int) -> None:
        self._places = places
        self._place = place
        super().__init__(max(places))

    @property
    def value(self) -> int:
        """The present number."""
        return int(max(self._places))

    @value.setter
    def value(self, value: int) -> None:
        self._places[self._place] = value
