"""The leases of jobs that run, extended when a third of their time is over at the latest."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from svcjobs.awaited_queue import AwaitedQueue
from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job
from svcjobs.queue import JobQueue
from svcjobs.settlement import Outcome

logger = logging.getLogger(__name__)

AGAIN_AFTER_SECONDS = 1.0
"""While the server is away: every second, so that a lease is renewed soon after it is back."""

LATE_SHARE = 2 / 3


def is_late(visibility_timeout: float, asked_at: float) -> bool:
    """Whether leases that were asked for then may run out before they are extended for the first time.

    A handler that holds the GIL, or blocks the event loop, keeps a process from reading an answer that came in time.
    Jobs in it are given back unstarted: another worker may have them by now.

    Args:
        visibility_timeout: how long a lease lasts, in seconds.
        asked_at: ``time.monotonic()``, before the call.
    """
    return time.monotonic() - asked_at > LATE_SHARE * visibility_timeout


class Leases:
    """The jobs whose leases are extended, and what happens to those that were lost.

    Args:
        visibility_timeout: how long a lease lasts, in seconds. One that is a sixth of that old is extended in the
            next round, rounds being that far apart: a job that is done sooner costs nothing.
        lost: called with a job whose lease is gone, or that was cancelled, in the thread that found it.
    """

    def __init__(self, visibility_timeout: float, lost: Callable[[Job], object]) -> None:
        self._period_seconds = visibility_timeout / 6
        self._lost = lost
        self._held: dict[int, Job] = {}
        self._extended_at: dict[int, float] = {}
        self._cancelled: set[int] = set()
        self._stopped = threading.Event()

    def hold(self, job: Job) -> None:
        """Extend the job's lease from now on."""
        self._extended_at[id(job)] = time.monotonic()
        self._held[id(job)] = job

    def drop(self, job: Job) -> None:
        """Extend it no more."""
        self._held.pop(id(job), None)
        self._extended_at.pop(id(job), None)
        self._cancelled.discard(id(job))

    def holds(self, job: Job) -> bool:
        """Whether its lease is being extended."""
        return id(job) in self._held

    async def keep(self, queue: AwaitedQueue) -> None:
        """Extend until cancelled. A handler that blocks the event loop blocks this too."""
        pause = self._period_seconds
        while True:
            await asyncio.sleep(pause)
            jobs = self._due()
            try:
                self._extended(jobs, await queue.extend_many(jobs) if jobs else [])
                pause = self._period_seconds
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the keeping of leases
                pause = self._missed(error)

    def start_thread(self, queue: JobQueue) -> None:
        """Extend in a thread until :meth:`stop`, whatever handlers do to the event loop."""
        threading.Thread(target=self._keep_in_thread, args=[queue], name="svcjobs-leases", daemon=True).start()

    def stop(self) -> None:
        """End the thread; leases are left to run out."""
        self._stopped.set()

    def _keep_in_thread(self, queue: JobQueue) -> None:
        pause = self._period_seconds
        while not self._stopped.wait(pause):
            jobs = self._due()
            try:
                self._extended(jobs, queue.extend_many(jobs) if jobs else [])
                pause = self._period_seconds
            except Exception as error:  # noqa: BLE001 - as above
                pause = self._missed(error)

    def _due(self) -> list[Job]:
        before = time.monotonic() - self._period_seconds
        held = list(self._held.items())
        return [job for key, job in held if self._extended_at.get(key, math.inf) <= before]

    def _extended(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        now = time.monotonic()
        for job, outcome in zip(jobs, outcomes, strict=True):
            if id(job) not in self._held:
                continue  # settled meanwhile
            self._extended_at[id(job)] = now
            if outcome is Outcome.STALE:
                self.drop(job)
                self._lost(job)
            elif outcome is Outcome.CANCELLED and id(job) not in self._cancelled:
                self._cancelled.add(id(job))  # once: another cancel would cut short how the handler cleans up
                self._lost(job)

    def _missed(self, error: Exception) -> float:
        if not isinstance(error, QueueUnavailable):  # of an outage the fetching tells
            logger.error("Leases can't be extended: %s", error, exc_info=error)
        return min(self._period_seconds, AGAIN_AFTER_SECONDS)
