"""The jobs of one child: the line of those that wait, and those that run."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from svcjobs.errors import ConfigurationError
from svcjobs.execution import Execution
from svcjobs.job import Job, Reporting
from svcjobs.reports import MOST_JOBS
from svcjobs.running_table import RunningTable
from svcjobs.settlement import Ack, Settlement

Lease: TypeAlias = tuple[str, str, str]
"""Queue, job id and token."""


def lease_of(job: Job) -> Lease:
    """What the lease of a reserved job is known by between child and keeper."""
    return job.queue, job.id, job.lease or ""


@dataclass(eq=False, slots=True)
class Run:
    """A job whose handler runs.

    Args:
        job: the job.
        place: number of its slot.
        began: ``time.monotonic()`` of the start.
        started_at: the same in seconds since the epoch.
        cancelled: its handler was told to end: unless it succeeds all the same, the job is given back.
        dropped: its outcome doesn't count any more: its lease was lost, or it was given back.
        fatal: it is over its hard limit: once it is settled, the process is killed.
    """

    job: Job
    place: int = 0
    began: float = field(default_factory=time.monotonic)
    started_at: float = field(default_factory=time.time)
    cancelled: bool = False
    dropped: bool = False
    fatal: bool = False


Ended: TypeAlias = Callable[[Run, Execution | None], None]
"""Called when a handler has ended; None when it was cancelled, so that there is nothing to settle."""


class Slots:
    """As many places as jobs run at once, and the line before them. Safe to use from any thread.

    Args:
        concurrency: how many jobs run at once.

    Raises:
        ConfigurationError: less than 1, or more than one process can report.

    Attributes:
        moved_at: ``time.monotonic()`` of when a job last joined the line, or left it for a slot.
        table: gets what runs, when it is set.
        reporting: gets what jobs report, when it is set.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = _checked(concurrency)
        self.moved_at = time.monotonic()
        self.table: RunningTable | None = None
        self.reporting: Reporting | None = None
        self._free = list(range(concurrency))
        self._line: deque[Job] = deque()
        self._running: dict[Run, None] = {}
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many jobs no slot has taken yet."""
        return len(self._line)

    @property
    def running(self) -> list[Run]:
        """The jobs that run, in the order of their start."""
        with self._lock:
            return list(self._running)

    @property
    def busy(self) -> int:
        """How many jobs run."""
        return len(self._running)

    def put(self, jobs: Sequence[Job]) -> None:
        """Let these jobs wait for a slot."""
        with self._lock:
            self._line.extend(jobs)
            self.moved_at = time.monotonic()

    def take(self) -> Run | None:
        """The next job, which runs from now on; None when none waits or no slot is free."""
        with self._lock:
            if not self._line or len(self._running) >= self.concurrency:
                return None
            run = Run(self._line.popleft(), self._free.pop())
            run.job.reporting = self.reporting
            self._running[run] = None
            if self.table is not None:
                self.table.start(run.place, run.job.id, run.job.lease or "")
            self.moved_at = run.began
            return run

    def leave(self, run: Run, execution: Execution | None) -> None:
        """Its slot is free again.

        Args:
            run: the job.
            execution: what came of it.
        """
        with self._lock:
            del self._running[run]
            self._free.append(run.place)
            if self.table is not None:
                self.table.end(run.place, done=execution is not None and _needs_only_an_ack(execution.settlement))

    def resize(self, concurrency: int) -> None:
        """Let so many jobs run at once from now on; those that run already go on.

        Raises:
            ConfigurationError: as at the start.
        """
        with self._lock:
            places = len(self._free) + len(self._running)
            self.concurrency = _checked(concurrency)
            self._free.extend(range(places, concurrency))

    def take_back(self) -> list[Job]:
        """All jobs that no slot has taken, out of the line."""
        with self._lock:
            jobs = list(self._line)
            self._line.clear()
            return jobs

    def withdraw(self, lease: Lease) -> Job | Run | None:
        """The job with that lease: out of the line as a Job, or running, as its Run; None when it is in neither."""
        with self._lock:
            for job in self._line:
                if lease_of(job) == lease:
                    self._line.remove(job)
                    return job
            return next((run for run in self._running if lease_of(run.job) == lease), None)


def _needs_only_an_ack(settlement: Settlement) -> bool:
    return type(settlement) is Ack and not settlement.effects


def _checked(concurrency: int) -> int:
    if not 1 <= concurrency <= MOST_JOBS:
        raise ConfigurationError(
            f"the concurrency is {concurrency}: one process runs 1 to {MOST_JOBS} jobs at once, use more processes"
        )
    return concurrency
