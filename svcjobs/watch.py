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
FIRST_ROUND_SECONDS = 0.1
"""A round without all queues is so short at first, and after others came to wait: they can't join a running one."""
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
        self._woken = {queue.name: threading.Event() for queue in queues}
        self._changed = threading.Condition()
        self._waiting: dict[str, RedisJobQueue] = {}
        self._due_at: dict[str, float] = {}
        self._gone: set[str] = set()
        self._round_ends_at = 0.0
        self._thread = threading.Thread(target=self._watch, name="svcjobs-watch", daemon=True)
        self._thread.start()

    @classmethod
    def over(cls, queues: Sequence[JobQueue]) -> Watch | None:
        """A watch over these queues; None when each has to be waited for by itself, and when there is only one."""
        together = [queue for queue in queues if isinstance(queue, RedisJobQueue) and queue.is_beside(queues[0])]
        return cls(together) if len(together) == len(queues) > 1 else None

    def wait(self, name: str) -> None:
        """Return when a fetch from the queue with that name may find something, or it has left."""
        queue = self._queues[name]
        due_at = queue.next_due_at
        while seconds := self._seconds_alone(queue, due_at):
            if self._first.wait_any([queue], seconds) or time.monotonic() >= queue.next_due_at:
                return
            # nobody looked at the queue meanwhile, and a round may be as long again: it is to begin with a look
            due_at = 0.0
        self._woken[name].wait()

    def leave(self, name: str) -> None:
        """The queue with that name isn't waited for any more."""
        with self._changed:
            self._gone.add(name)
            self._waiting.pop(name, None)
            self._changed.notify()
        self._woken[name].set()

    def join(self) -> None:
        """Wait until the thread has ended: when all queues have left, and its round is over."""
        self._thread.join()

    def _seconds_alone(self, queue: RedisJobQueue, due_at: float) -> float:
        """How long a queue has to wait by itself; 0 when it is in the next round, whose end tells its thread."""
        with self._changed:
            if queue.name in self._gone:
                return 0.0
            now = time.monotonic()
            left = self._round_ends_at - now - EARLY_SECONDS
            if left > EARLY_SECONDS:
                return max(EARLY_SECONDS, min(left, queue.next_due_at - now))
            self._woken[queue.name].clear()
            self._waiting[queue.name] = queue
            self._due_at[queue.name] = due_at
            self._changed.notify()
            return 0.0

    def _watch(self) -> None:
        longest = FIRST_ROUND_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or len(self._gone) == len(self._queues))
                if not self._waiting:
                    return
                queues = list(self._waiting.values())
                now = time.monotonic()
                longest = ROUND_SECONDS if len(queues) == len(self._queues) else longest
                self._round_ends_at = min(now + longest, *(self._due_at[queue.name] for queue in queues))
            try:
                woken = self._round(queues, self._round_ends_at - now)
            except Exception:  # noqa: BLE001 - only the waiting connection may be gone; else the next fetches tell
                time.sleep(FIRST_PAUSE_SECONDS)
                woken = queues
            with self._changed:
                self._round_ends_at = 0.0
                others_came = len(self._waiting) > len(queues)
                longest = FIRST_ROUND_SECONDS if woken or others_came else min(2 * longest, ROUND_SECONDS)
                for queue in woken:
                    self._waiting.pop(queue.name, None)
                    self._woken[queue.name].set()

    def _round(self, queues: Sequence[RedisJobQueue], seconds: float) -> Sequence[RedisJobQueue]:
        """The queues that may have a job."""
        if seconds > EARLY_SECONDS and (woken := self._first.wait_any(queues, seconds)):
            return [woken]
        due = self._first.seconds_to_due(queues)
        now = time.monotonic()
        self._due_at |= {queue.name: now + left for queue, left in zip(queues, due, strict=True)}
        return [queue for queue, left in zip(queues, due, strict=True) if left <= EARLY_SECONDS]
