"""A thread that extends the leases of messages that are delivered and not settled."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from svcjobs.errors import JobsError
from svcjobs.job import Job
from svcjobs.settlement import Outcome, Release
from svcjobs_celery_compat.transport.queues import Queues

logger = logging.getLogger(__name__)


class LeaseKeeper:
    """Extends leases at a third of their time, on connections of its own, while something is held.

    The thread starts with the first message and ends when nothing is held any more. A forked child holds nothing.

    Args:
        open_queues: makes the queues to extend by; called in the thread.
        lease_seconds: how long a lease lasts.
    """

    def __init__(self, open_queues: Callable[[], Queues], lease_seconds: float) -> None:
        self._open_queues = open_queues
        self._lease_seconds = lease_seconds
        self._forget()
        this = weakref.ref(self)

        def forget_in_child() -> None:
            if (keeper := this()) is not None:
                keeper._forget()

        os.register_at_fork(after_in_child=forget_in_child)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str | None], Job] = {}
        self._astray: deque[Job] = deque()
        self._outlived = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, jobs: Iterable[Job]) -> None:
        """Keep the leases of jobs until they are dropped."""
        with self._lock:
            self._held.update({(job.queue, job.lease): job for job in jobs})
            if self._held and self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="svcjobs-leases", daemon=True
                )
                self._thread.start()

    def drop(self, jobs: Iterable[Job]) -> None:
        """Let the leases of jobs be."""
        with self._lock:
            for job in jobs:
                self._held.pop((job.queue, job.lease), None)

    def outlive(self, messages: Iterable[Any], buffered: Iterable[Job]) -> None:
        """Keep the leases of messages whose connection was lost: somebody who still has one may ack it.

        Those that nobody has any more are given back when the server answers, uncharged.

        Args:
            messages: those handed out. Celery forgets the ones that it hasn't begun when it connects again.
            buffered: the jobs of those that were fetched and never handed out.
        """
        for message in messages:
            if job := message._raw.get("job"):
                weakref.finalize(message, self._astray.append, job).atexit = False
        self._astray.extend(buffered)
        self._outlived = True

    def close(self) -> None:
        """Drop all, and end the thread."""
        with self._lock:
            self._held.clear()
            self._stop.set()
            self._thread = None

    def _run(self, stop: threading.Event) -> None:
        queues = self._open_queues()
        try:
            while not stop.wait(self._lease_seconds / 3):
                if self._outlived:
                    self._give_back(queues)
                held = self._held_or_end()
                if not held:
                    return
                for prefix, jobs in held.items():
                    self._extend(queues, prefix, jobs)
        finally:
            queues.close()

    def _held_or_end(self) -> dict[str, list[Job]]:
        by_queue: dict[str, list[Job]] = {}
        with self._lock:
            for job in self._held.values():
                by_queue.setdefault(job.queue, []).append(job)
            if not by_queue:
                self._thread = None
        return by_queue

    def _give_back(self, queues: Queues) -> None:
        gc.collect()  # a message that lies in a cycle would be missed for long
        while self._astray:
            job = self._astray[0]
            if (job.queue, job.lease) in self._held:
                try:
                    queues.at(job.queue).settle_many([Release(job)])
                except JobsError as error:
                    logger.warning("messages of a lost connection aren't given back yet: %s", error)
                    return
                self.drop([job])
            self._astray.popleft()

    def _extend(self, queues: Queues, prefix: str, jobs: list[Job]) -> None:
        try:
            outcomes = queues.at(prefix).extend_many(jobs)
        except JobsError as error:
            logger.warning("leases of queue %s couldn't be extended: %s", prefix, error)
            return
        self.drop(job for job, outcome in zip(jobs, outcomes, strict=True) if outcome is Outcome.STALE)
