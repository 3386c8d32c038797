"""A child as its keeper knows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from svcjobs.job import Job
from svcjobs.process import ProcessState, process_state
from svcjobs.reports import HeldJob, Report

Lease: TypeAlias = tuple[str, str, str]
"""Queue, job id and token."""

SILENT_LEASES = 3
"""A child that sends no report for so many leases, and uses no CPU meanwhile, isn't at work any more."""


def lease_of(job: HeldJob) -> Lease:
    """What names the lease of a job."""
    return job.queue, job.job_id, job.lease


def as_job(job: HeldJob) -> Job:
    """The job as a queue's verbs take it."""
    return Job(job.job_id, job.name, {}, queue=job.queue, lease=job.lease, verdict=job.verdict)


@dataclass(slots=True)
class Ward:
    """What a child reported last, and whether it still works.

    Args:
        pid: its process.
        report: its last one.
        reported_at: when that came, ``time.monotonic()``.
        active_at: when it last reported, or was seen to have used CPU.
        state: the process when it was looked at last; None when it is dead.
        extended_at: when each lease was extended last, as far as is known.
        lost: leases of the report that aren't its own any more.
    """

    pid: int
    active_at: float
    report: Report = field(init=False)
    reported_at: float | None = None
    state: ProcessState | None = None
    extended_at: dict[Lease, float] = field(default_factory=dict)
    lost: set[Lease] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.report = Report(self.pid, fetching=False)
        self.state = process_state(self.pid)

    @property
    def is_dead(self) -> bool:
        """Whether its process was gone when it was looked at last."""
        return self.state is None

    @property
    def held(self) -> list[HeldJob]:
        """The jobs whose leases are its own, as far as is known."""
        return [job for job in self.report.jobs if lease_of(job) not in self.lost]

    def take(self, report: Report, now: float) -> float:
        """Take in a report; returns when the oldest lease was extended, infinity without one.

        Of a lease that wasn't known before it is only known when the child got it: the keeper may be a new one, or have
        waited for a server while the report lay there.

        Args:
            report: the state that replaces the one before.
            now: ``time.monotonic()``.
        """
        self.extended_at = {
            lease: self.extended_at.get(lease, job.held_at) for job in report.jobs for lease in [lease_of(job)]
        }
        self.lost &= self.extended_at.keys()
        self.report, self.reported_at, self.active_at = report, now, now
        return min(self.extended_at.values(), default=float("inf"))

    def look(self, now: float) -> None:
        """See whether the process lives, works or is stopped."""
        before, self.state = self.state, process_state(self.pid)
        if before is None or self.state is None or self.state.started != before.started:
            self.state = None  # dead, or another process with its pid
        elif self.state.cpu_seconds > before.cpu_seconds:
            self.active_at = now

    def due(self, extended_before: float, now: float, lease_seconds: float) -> list[HeldJob]:
        """The jobs whose lease was extended before that instant; none of a child that isn't at work (promise P4)."""
        if not self.is_at_work(now, lease_seconds):
            return []
        return [job for job in self.held if self.extended_at[lease_of(job)] <= extended_before]

    def is_at_work(self, now: float, lease_seconds: float) -> bool:
        """Whether it is neither dead, nor stopped, nor silent and idle for three leases."""
        if self.state is None or self.state.stopped:
            return False
        return now - self.active_at < SILENT_LEASES * lease_seconds

    def extended(self, jobs: Iterable[HeldJob], now: float) -> None:
        """These leases were extended."""
        for job in jobs:
            if lease_of(job) in self.extended_at:
                self.extended_at[lease_of(job)] = now
