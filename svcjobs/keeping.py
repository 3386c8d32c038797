"""Who extends the leases of a child: its keeper, told over a socket, or a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from typing import Protocol

from svcjobs.census import ChildPipes
from svcjobs.job import Job
from svcjobs.leases import Leases
from svcjobs.pools.slots import Lease, lease_of
from svcjobs.queue import JobQueue
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.reports import LostLeases, Report, send
from svcjobs.tally import Tally

logger = logging.getLogger(__name__)

REPORT_EVERY_SECONDS = 1.0
LONGEST_DATAGRAM = 1 << 20


class Keeping(Protocol):
    """Keeps leases from running out."""

    def begin(
        self, report: Callable[[], Report], lost: Callable[[Lease], object], cancelled: Callable[[Lease], object]
    ) -> None:
        """Keep leases from now on, in a thread.

        Args:
            report: tells the state of the child.
            lost: called with each lease that is gone.
            cancelled: called with each lease whose job somebody cancelled.
        """
        ...

    def watch(self, queue: JobQueue) -> None:
        """Jobs of one more queue will be held."""
        ...

    def hold(self, jobs: Sequence[Job]) -> None:
        """Extend these; called before any of them may start."""
        ...

    def drop(self, job: Job) -> None:
        """Extend this one no more."""
        ...

    def publish(self) -> None:
        """Let the present state be known."""
        ...

    def count(self) -> None:
        """Let what was counted be known."""
        ...

    def end(self) -> None:
        """The child holds no lease any more."""
        ...


class KeeperLink:
    """Leases that the keeper extends: it gets a report before jobs start, on changes, and once a second.

    Args:
        queues: those of the jobs.
        pipes: to the keeper.
        tallies: what this process has counted.
    """

    def __init__(
        self, queues: Sequence[JobQueue], pipes: ChildPipes, tallies: Callable[[], Iterable[Tally]] = tuple
    ) -> None:
        self._queues = queues
        self._reports = pipes.reports
        self._lost_socket = pipes.lost
        self._running = pipes.running
        self._tallies = tallies
        self._lock = threading.Lock()
        self._ended = False

    def begin(
        self, report: Callable[[], Report], lost: Callable[[Lease], object], cancelled: Callable[[Lease], object]
    ) -> None:
        self._report = report
        self._lost = lost
        self._cancelled = cancelled
        for queue in self._queues:
            self.watch(queue)
        threading.Thread(target=self._serve, name="svcjobs-keeper-link", daemon=True).start()

    def watch(self, queue: JobQueue) -> None:
        if isinstance(queue, RedisJobQueue):
            queue.announce_reserves(self._running.fetches)

    def hold(self, jobs: Sequence[Job]) -> None:  # noqa: ARG002 - the report has them
        self.publish()

    def drop(self, job: Job) -> None:
        """The next report is without it."""

    def publish(self) -> None:
        with self._lock:  # the last one sent must be the newest
            report = self._report().encode()
            self._running.reports(report)
            send(self._reports, report)

    def end(self) -> None:
        self._ended = True
        self._running.fetches_no_more()
        self.count()
        self.publish()

    def _serve(self) -> None:
        report_at = 0.0
        while not self._ended:
            try:
                if time.monotonic() >= report_at:
                    report_at = time.monotonic() + REPORT_EVERY_SECONDS
                    self.publish()
                    self.count()
                pause = max(0.0, report_at - time.monotonic())
                if wait([self._lost_socket], pause):
                    self._hear()
            except Exception:
                # a bug; but a child that falls silent loses its leases
                logger.exception("The link to the keeper failed, and goes on")
                time.sleep(REPORT_EVERY_SECONDS)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while datagram := self._lost_socket.recv(LONGEST_DATAGRAM):
                message = LostLeases.decode(datagram)
                for lease in message.leases:
                    self._lost(lease)
                for lease in message.cancelled:
                    self._cancelled(lease)

    def count(self) -> None:
        for tally in self._tallies():
            send(self._reports, tally.encode())


class OwnLeases:
    """Leases that a thread for each queue extends; it can't while a handler holds the GIL.

    Args:
        queues: those of the jobs.
    """

    def __init__(self, queues: Sequence[JobQueue]) -> None:
        self._queues = queues
        self._leases: dict[str, Leases] = {}

    def begin(
        self,
        report: Callable[[], Report],  # noqa: ARG002 - nobody asks
        lost: Callable[[Lease], object],
        cancelled: Callable[[Lease], object],
    ) -> None:
        self._lost = lost
        self._cancelled = cancelled
        for queue in self._queues:
            self.watch(queue)

    def watch(self, queue: JobQueue) -> None:
        if queue.name not in self._leases:
            self._leases[queue.name] = Leases(queue.visibility_timeout, self._end)
            self._leases[queue.name].start_thread(queue)

    def hold(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._leases[job.queue].hold(job)

    def drop(self, job: Job) -> None:
        self._leases[job.queue].drop(job)

    def publish(self) -> None:
        """Nobody asks."""

    def count(self) -> None:
        """Nobody asks."""

    def end(self) -> None:
        for leases in self._leases.values():
            leases.stop()

    def _end(self, job: Job) -> None:
        # a lost lease is dropped before this is called, that of a cancelled job is still extended
        end = self._cancelled if self._leases[job.queue].holds(job) else self._lost
        end(lease_of(job))
