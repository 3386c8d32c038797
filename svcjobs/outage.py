"""A queue that can't be used for a while: said once, tried again with growing pauses, and said when it is over."""

from __future__ import annotations

import logging
import time

from svcjobs.errors import JobsError

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
"""With the queue's time-out of 2 s this is well within the 5 s in which a worker resumes (promise P10)."""


class Outage:
    """Whether a worker's queue is away, and since when."""

    def __init__(self, queue_name: str) -> None:
        self._queue_name = queue_name
        self._began: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def goes_on(self, error: Exception) -> float:
        """A call failed with ``error``: seconds to wait before the next one."""
        if self._began is None:
            self._began = time.monotonic()
            # an error that isn't one of ours may be a bug: then the place matters
            place = None if isinstance(error, JobsError) else error
            logger.error("Queue %s can't be used, trying again: %s", self._queue_name, error, exc_info=place)
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return pause

    def is_over(self) -> None:
        """A call succeeded."""
        if self._began is None:
            return
        logger.warning("Queue %s is back after %.1f s", self._queue_name, time.monotonic() - self._began)
        self._began = None
        self._pause = FIRST_PAUSE_SECONDS
