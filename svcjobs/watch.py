"""Waiting for jobs in several queues with one command."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from svcjobs.outage import FIRST_PAUSE_SECONDS
from svcjobs.queue import JobQueue
from svcjobs.redis_queue import RedisJobQueue

logger = logging.getLogger(__name__)

ROUND_SECONDS = 2.0
"""What falls due later than this when it is stored wakes nobody up, so each round ends with a look at all queues."""
EARLY_SECONDS = 0.02
"""So long before the end of a round a queue that waits by itself gives up, to be in the next one."""


class Watch:
    """The queues that a child found empty are waited for in rounds: one blocking command, and one look, for all.

    A queue that is found empty during a round waits by itself until its end, so a job is picked up at once in each.

    Args:
        queues: on one server, which is no cluster, and over the same connections.
    """

    def __init__(self, queues: Sequence[RedisJobQueue]) -> None:
        self._first = queues[0]
        self._queues = {queue.name: queue for queue in queues}
        self._changed = threading.Condition()
        self._waiting: dict[str, RedisJobQueue] = {}
        self._due_at: dict[str, float] = {}
        self._round_ends_at = 0.0
        threading.Thread(target=self._watch, name="svcjobs-watch", daemon=True).start()

    @classmethod
    def over(cls, queues: Sequence[JobQueue]) -> Watch | None:
        """A watch over these queues; None when each has to be waited for by itself, and when there is only one."""
        together = [queue for queue in queues if isinstance(queue, RedisJobQueue) and queue.is_beside(queues[0])]
        return cls(together) if len(together) == len(queues) > 1 else None

    def wait(self, name: str) -> None:
        """Return when a fetch from the queue with that name may find something."""
        queue = self._queues[name]
        alone = self._seconds_alone(queue, queue.next_due_at)
        if alone == 0 or self._first.wait_any([queue], alone) or time.monotonic() >= queue.next_due_at:
            return
        # nobody looked at the queue meanwhile, and a round may be as long again: the next one begins with a look
        self._seconds_alone(queue, due_at=0.0)

    def _seconds_alone(self, queue: RedisJobQueue, due_at: float) -> float:
        """How long a queue waits by itself; 0 once it was waited for with the others, and may have a job."""
        with self._changed:
            left = self._round_ends_at - time.monotonic() - EARLY_SECONDS
            if left > EARLY_SECONDS:
                return max(EARLY_SECONDS, min(left, due_at - time.monotonic()))
            self._waiting[queue.name] = queue
            self._due_at[queue.name] = due_at
            self._changed.notify_all()
            self._changed.wait_for(lambda: queue.name not in self._waiting)
            return 0.0

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                queues = list(self._waiting.values())
                now = time.monotonic()
                self._round_ends_at = min(now + ROUND_SECONDS, *(self._due_at[queue.name] for queue in queues))
            try:
                woken = self._round(queues, self._round_ends_at - now)
            except Exception:  # noqa: BLE001 - only the waiting connection may be gone; else the next fetches tell
                time.sleep(FIRST_PAUSE_SECONDS)
                woken = queues
            with self._changed:
                self._round_ends_at = 0.0
                for queue in woken:
                    del self._waiting[queue.name]
                self._changed.notify_all()

    def _round(self, queues: Sequence[RedisJobQueue], seconds: float) -> Sequence[RedisJobQueue]:
        """The queues that may have a job."""
        if seconds > EARLY_SECONDS and (woken := self._first.wait_any(queues, seconds)):
            return [woken]
        due = self._first.seconds_to_due(queues)
        now = time.monotonic()
        self._due_at |= {queue.name: now + left for queue, left in zip(queues, due, strict=True)}
        return [queue for queue, left in zip(queues, due, strict=True) if left <= EARLY_SECONDS]
