"""Acks of messages that came in a batch: they are sent together, within a few milliseconds."""

from __future__ import annotations

import logging
import os
import threading
import weakref

from svcjobs.errors import JobsError, QueueUnavailable
from svcjobs.job import Job
from svcjobs.settlement import Ack, Outcome
from svcjobs_celery_compat.transport.keeper import LeaseKeeper
from svcjobs_celery_compat.transport.queues import Queues

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 0.02
"""A process that is killed has its messages of so long run again, though they were acked."""
IDLE_SECONDS = 1.0


class Acks:
    """Collects acks until the next fetch, or until ``LONGEST_WAIT_SECONDS`` are over: a thread sees to that.

    Args:
        queues: to settle by.
        keeper: keeps the leases until the acks are sent.
    """

    def __init__(self, queues: Queues, keeper: LeaseKeeper) -> None:
        self._queues = queues
        self._keeper = keeper
        self._forget()
        this = weakref.ref(self)

        def forget_in_child() -> None:
            if (acks := this()) is not None:
                acks._forget()

        os.register_at_fork(after_in_child=forget_in_child)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Job] = []
        self._added = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, job: Job) -> None:
        """Ack a job soon."""
        with self._lock:
            self._pending.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="svcjobs-acks", daemon=True)
                self._thread.start()
        self._added.set()

    def flush(self) -> None:
        """Send the acks that wait.

        Raises:
            QueueUnavailable: the server doesn't answer; they wait on.
        """
        if not self._pending:
            return
        with self._lock:
            jobs, self._pending = self._pending, []
        by_queue: dict[str, list[Job]] = {}
        for job in jobs:
            by_queue.setdefault(job.queue, []).append(job)
        try:
            while by_queue:
                prefix, some = next(iter(by_queue.items()))
                self.send(prefix, some)
                del by_queue[prefix]
        finally:
            with self._lock:
                self._pending += [job for left in by_queue.values() for job in left]

    def send_or_keep(self, job: Job) -> None:
        """Ack a job now, or as soon as the server answers."""
        try:
            self.send(job.queue, [job])
        except QueueUnavailable as error:
            logger.warning("an ack waits for the server: %s", error)
            self.add(job)

    def send(self, prefix: str, jobs: list[Job]) -> None:
        """Ack jobs of one queue now.

        Raises:
            QueueUnavailable: the server doesn't answer.
        """
        outcomes = self._queues.at(prefix).settle_many([Ack(job) for job in jobs])
        self._keeper.drop(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if outcome is Outcome.STALE:
                logger.warning("message %s of queue %s was acked too late: its lease was lost", job.id, prefix)

    def _run(self) -> None:
        pause = threading.Event()
        while self._added.wait(IDLE_SECONDS) or not self._ended():
            self._added.clear()
            pause.wait(LONGEST_WAIT_SECONDS)
            try:
                self.flush()
            except JobsError as error:
                logger.warning("%d acks wait for the server: %s", len(self._pending), error)

    def _ended(self) -> bool:
        with self._lock:
            if self._pending:
                return False
            self._thread = None
            return True
