"""What a dead child leaves: the jobs that it held."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from svcjobs.errors import TimeLimitExceeded
from svcjobs.queue import JobQueue
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.reports import HeldJob
from svcjobs.running_table import HardLimit, RunningTable, mark_of
from svcjobs.settlement import Ack, Fail, Outcome, Release, Settlement
from svcjobs.ward import Ward, as_job, lease_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Estate:
    """The jobs of a dead child; each starts again at once, elsewhere.

    Those that were done and needed only their ack get it. Those that it hadn't started go back uncharged, and so do
    those that the server leased to it in its last moment, so that it never heard of them. Exactly one running is taken
    to be what killed it: its lease is ended, so that the next reserve reclaims it, charged, with the verdict
    ``worker_lost`` at its limit; one that was over its hard limit has failed by that. Of several running nobody knows
    which it was: all go back uncharged, as suspects, each of which then runs alone.

    Args:
        pid: the child.
        jobs: what it held, by its last report.
        done: what was done, and perhaps not acked yet, by its table.
        limit: the hard limit that was over when it died.
        marks: what ran when it died, by its table, see :func:`~svcjobs.running_table.mark_of`; None when its table
            is gone: then the report has to do, which is up to a second old.
        fetch: the request of its last reserve, by its table.
        prefixes: of the queues that it took jobs from.
        table: where the child kept all this.
    """

    pid: int
    jobs: Sequence[HeldJob]
    marks: frozenset[int] | None = None
    fetch: tuple[str, int] | None = None
    prefixes: Sequence[str] = ()
    table: RunningTable | None = None
    done: frozenset[int] = frozenset()
    limit: HardLimit | None = None

    @classmethod
    def of(cls, ward: Ward, table: RunningTable | None) -> Estate:
        """What a dead child left, by its last report and its table; None when that is gone."""
        if table is None:
            return cls(ward.pid, ward.held, prefixes=ward.report.queues)
        done, limit = table.done, table.hard_limit
        if limit is not None and time.monotonic() < limit.over_at:
            limit = None  # it died of something else
        return cls(ward.pid, ward.held, table.marks - done, table.fetch, ward.report.queues, table, done, limit)

    @property
    def is_empty(self) -> bool:
        """Whether the child is known to have held nothing."""
        return not self.jobs and self.fetch is None

    @property
    def running(self) -> list[HeldJob]:
        """Those whose handlers ran when it died."""
        return [job for job in self.jobs if self._ran(job)]

    @property
    def charged(self) -> list[HeldJob]:
        """The one that is taken to be what killed it; none when more ran, such as one whose lease was lost."""
        ran = len(self.running if self.marks is None else self.marks)
        return self.running if ran == 1 else []

    def _ran(self, job: HeldJob) -> bool:
        if self.marks is None:
            return job.started_at is not None
        return mark_of(job.job_id, job.lease) in self.marks

    def completed(self, queues: Mapping[str, JobQueue]) -> Estate:
        """With the jobs that the child had fetched and didn't live to hear of.

        Raises:
            QueueUnavailable: a queue doesn't answer.
        """
        known = {lease_of(job) for job in self.jobs}
        unheard = [job for job in self._last_fetched(queues) if lease_of(job) not in known]
        if unheard:
            logger.warning("Child %d died before it heard of %d jobs that it had fetched", self.pid, len(unheard))
        return replace(self, jobs=[*self.jobs, *unheard])

    def _last_fetched(self, queues: Mapping[str, JobQueue]) -> Iterator[HeldJob]:
        if self.fetch is not None:
            for prefix in self.prefixes:
                queue = queues[prefix]
                if isinstance(queue, RedisJobQueue):
                    yield from map(HeldJob.of, queue.unheard(self.fetch))

    def settle(self, queues: Mapping[str, JobQueue]) -> None:
        """Give the jobs back, and note in the table that this is done. May be repeated, by another keeper as well:
        leases that are settled already are left alone.

        Raises:
            QueueUnavailable: a queue doesn't answer.
        """
        charged = self.charged
        for prefix in dict.fromkeys(job.queue for job in self.jobs):
            queue = queues[prefix]
            _settle(queue, [self._given_back(job) for job in self.jobs if job.queue == prefix and job not in charged])
            lost = [job for job in charged if job.queue == prefix]
            if lost and self.limit:
                _settle(queue, [_failed(job, self.limit) for job in lost])
            elif lost:
                queue.extend_many([as_job(job) for job in lost], seconds=0)
                queue.reclaim()  # now, and not at the next reserve: it wakes an idle worker
        if self.table:
            self.table.settled(self.pid)

    def _given_back(self, job: HeldJob) -> Settlement:
        if mark_of(job.job_id, job.lease) in self.done:
            return Ack(as_job(job))
        # a suspect whose turn to run alone hadn't come stays one
        return Release(as_job(job), suspect=self._ran(job) or job.suspect)


def _failed(job: HeldJob, limit: HardLimit) -> Settlement:
    error = TimeLimitExceeded(job.name, limit.seconds)
    return Fail(as_job(job), f"{type(error).__name__}: {error}", delay_seconds=0 if limit.at_once else None)


def _settle(queue: JobQueue, settlements: Sequence[Settlement]) -> None:
    # a job that the child settled after its last report is no stale settlement, so none is tried
    outcomes = queue.extend_many([settlement.job for settlement in settlements]) if settlements else []
    current = [one for one, outcome in zip(settlements, outcomes, strict=True) if outcome is not Outcome.STALE]
    if current:
        queue.settle_many(current)
