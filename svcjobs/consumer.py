"""The I/O thread of a child: it settles what has ended, fetches what is wanted, and hands it to the pool."""

from __future__ import annotations

import functools
import logging
import math
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from svcjobs.execution import Execution
from svcjobs.hooks import Hooks
from svcjobs.job import Job
from svcjobs.keeping import Keeping
from svcjobs.pools.pool import Pool
from svcjobs.pools.slots import Lease, Run, lease_of
from svcjobs.prefetch import OVERRUN_SECONDS, Prefetch
from svcjobs.queue import JobQueue
from svcjobs.recycling import Recycling
from svcjobs.reports import HeldJob, Report
from svcjobs.settlement import Ack, Outcome, Release, Settlement
from svcjobs.source import Source
from svcjobs.tracing import export_spans
from svcjobs.turns import Turns
from svcjobs.watch import Watch

if TYPE_CHECKING:
    from svcjobs.metrics import Metrics

logger = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 1.0
LINGER_SECONDS = 0.002
"""While jobs wait for a slot, what ends within so short a time is settled together."""
STUCK_SLEEP_SECONDS = 0.1
"""How often an event loop that a handler blocks is looked at."""
CLEAN_UP_SECONDS = 0.5
"""How long a cancelled handler may take to clean up, after the grace; then its job is given back all the same."""
LAST_SETTLEMENTS_SECONDS = 5.0
"""How long a stopped child waits for an absent server to take its last settlements."""
FETCHES = 2
"""In a turn from one queue: the jobs of the first one run while the second one is on its way."""
REVERSED_FETCH = 10
"""The tenth fetch at the latest takes the last queue and the lowest priority first, so that they never starve."""


class Consumer:
    """Runs in a thread of its own, from start to stop. Queues and priorities are served in strict order.

    Args:
        queues: most important first; each on its own connections.
        pool: runs the jobs.
        keeping: extends their leases.
        recycling: when the child is to end by itself.
        metrics: counts and times the jobs, when given.
        hooks: the application's.
    """

    def __init__(
        self,
        queues: Sequence[JobQueue],
        pool: Pool,
        keeping: Keeping,
        recycling: Recycling,
        metrics: Metrics | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._hooks = hooks or Hooks(None)
        self._pool = pool
        self._slots = pool.slots
        self._keeping = keeping
        self._recycling = recycling
        self._metrics = metrics
        watch = Watch.over(queues)
        self._sources = {job_queue.name: Source(job_queue, self._look, self._settled, watch) for job_queue in queues}
        self._changes: deque[Callable[[], None]] = deque()
        self._prefetch = Prefetch()
        self._held: dict[Lease, HeldJob] = {}
        self._suspects: deque[Job] = deque()
        self._alone = False
        self._ended: deque[tuple[Run, Execution | None]] = deque()
        self._totals: Counter[str] = Counter()
        self._turns = Turns(self._turn)
        self._overran_at = 0.0
        self._forwards = 0
        self._begun = 0
        self._stop_by = math.inf
        self._cancel_by = math.inf
        self._settle_by = math.inf
        self._fatal = False
        self.stopping = False  # whether a stop was asked for
        self.retired = False  # whether it ends by itself, for another child to take its place, or for none

    # from other threads

    def stop(self, grace_seconds: float) -> None:
        """Fetch no more, give back what hasn't begun, and what still runs after ``grace_seconds``.

        From any thread, and from a signal handler. A further call can only shorten the grace.
        """
        self.stopping = True
        self._stop_by = min(self._stop_by, time.monotonic() + grace_seconds)
        self._turns.wake()

    def retire(self) -> None:
        """Fetch no more, and end once all that was fetched has run, however long it takes. As :meth:`stop`."""
        self.retired = True
        self._turns.wake()

    @property
    def holds_jobs(self) -> bool:
        """Whether any lease is its own."""
        return bool(self._held)

    def ended(self, run: Run, execution: Execution | None) -> None:
        """A handler has ended."""
        self._ended.append((run, execution))
        self._turns.wake()

    def lose(self, lease: Lease) -> None:
        """A lease is gone: cancel its handler; what it does is left to the next delivery, and not settled."""
        found = self._slots.withdraw(lease)
        self._held.pop(lease, None)
        if isinstance(found, Job):
            self.ended(Run(found, dropped=True), None)
        elif found is not None and not found.dropped:
            found.dropped = True
            logger.warning("The lease of job %s (%s) was lost: its handler is cancelled", found.job.id, found.job.name)
            self._pool.cancel(found)

    def cancel(self, lease: Lease) -> None:
        """Somebody cancelled the job: end its handler, then give the job back, which buries it."""
        found = self._slots.withdraw(lease)
        if isinstance(found, Job):
            self.ended(Run(found), None)
        elif found is not None and not found.cancelled:
            self._pool.cancel(found)

    def take_from(self, job_queue: JobQueue) -> None:
        """Take jobs from one more queue from now on, after those of the others."""
        self._changes.append(functools.partial(self._open_source, job_queue))
        self._turns.wake()

    def leave(self, name: str) -> None:
        """Take no more jobs from the queue with that prefix; those at hand are run and settled."""
        self._changes.append(functools.partial(self._close_source, name))
        self._turns.wake()

    def report(self) -> Report:
        """The present state of this child."""
        held = self._held.copy()
        for run in self._slots.running:
            if (job := held.get(lease := lease_of(run.job))) is not None:
                held[lease] = job._replace(started_at=run.started_at)
        jobs = list(held.values())
        return Report(
            os.getpid(),
            jobs,
            not (self.stopping or self.retired),
            self._pool.loop_at,
            dict(self._totals),
            [name for name, source in self._sources.items() if not source.is_closed],
            idle=self.retired and not self.stopping and self._slots.busy < self._slots.concurrency,
        )

    def _look(self) -> None:
        """There may be a job: the thread that waited for it fetches it, so that none other has to wake up first."""
        try:
            taken = self._turns.take_here()
        except Exception:
            logger.exception("A turn failed; the I/O thread takes the next one")
            taken = False
        if not taken or self._slots.waiting or self._is_stuck or self.stopping or self.retired:
            self._turns.wake()  # it has to look at the clock

    # the thread

    def run(self) -> None:
        """Consume until stopped or due for recycling, and all is settled."""
        for source in self._sources.values():
            source.open()
        self._keeping.begin(self.report, self.lose, self.cancel)
        while not self._turns.between(self._finished):  # what a turn is about to fetch is held by nobody yet
            try:
                self._turns.take()
                if not self._turns.between(self._finished):
                    self._sleep()
            except Exception:
                # a bug; what is held is still held, and the next turn goes on with it (promise P10)
                logger.exception("The I/O thread failed, and goes on")
                time.sleep(LONGEST_SLEEP_SECONDS)
        self._keeping.end()
        for source in self._sources.values():
            source.close()

    def join(self) -> None:
        """Wait for the ends of the threads that :meth:`run` has started, where the process goes on after it."""
        for source in self._sources.values():
            source.join()

    def _turn(self) -> None:
        while self._changes:
            self._changes.popleft()()
        self._collect()
        self._give_back()
        self._end_grace()
        self._settle()
        self._retire()
        self._fetch()
        self._start_suspect()

    def _open_source(self, job_queue: JobQueue) -> None:
        source = self._sources.get(job_queue.name)
        if source is None:
            source = Source(job_queue, self._look, self._settled)
            self._keeping.watch(job_queue)
            source.open()
            # in one step, as other threads look at it
            self._sources = {**self._sources, job_queue.name: source}
        source.is_closed = False

    def _close_source(self, name: str) -> None:
        if source := self._sources.get(name):
            source.is_closed = True

    def _collect(self) -> None:
        while self._ended:
            run, execution = self._ended.popleft()
            self._alone = False  # if a suspect ran, it was this one
            if execution is not None:
                if run.job.verdict is None:
                    self._prefetch.ended(execution.seconds)
                if self._metrics is not None:
                    self._metrics.observe(run.job.name, execution.seconds, execution.error_type)
            if run.dropped:
                self._settled(Release(run.job), None)
                continue
            self._fatal = self._fatal or run.fatal
            run.dropped = run.fatal  # its handler still runs, for nothing
            cut_short = run.cancelled and execution is not None and not isinstance(execution.settlement, Ack)
            if execution is None or cut_short:
                self._add(Release(run.job, suspect=run.job.suspect))
            else:
                self._add(execution.settlement)

    def _give_back(self) -> None:
        """Give back what waits for a slot that doesn't come free: others may have one (promise P7)."""
        overrun = self._slots.waiting > 0 and time.monotonic() - self._slots.moved_at > OVERRUN_SECONDS
        if not (overrun or self.stopping):
            return
        jobs = self._slots.take_back()
        self._begun -= len(jobs)
        if overrun:
            self._prefetch.overran()
            self._overran_at = time.monotonic()
        if self.stopping:
            jobs += self._suspects
            self._suspects.clear()
        for job in jobs:
            self._add(Release(job, suspect=job.suspect))

    def _end_grace(self) -> None:
        now = time.monotonic()
        if now < self._stop_by:
            return
        live = self._live
        if self._cancel_by == math.inf:
            self._cancel_by = now + CLEAN_UP_SECONDS
            for run in live:
                self._pool.cancel(run)
        elif now >= self._cancel_by:
            for run in live:
                logger.warning("The handler of job %s (%s) doesn't end; it is given back", run.job.id, run.job.name)
                run.dropped = True
                self._add(Release(run.job, suspect=run.job.suspect))

    def _settle(self) -> None:
        for source in self._sources.values():
            source.settle()
        if self._fatal and not self._backlog:
            self._keeping.publish()
            self._keeping.count()
            export_spans()
            logger.error("A job is over its hard time limit: this process (%d) is killed", os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)

    def _retire(self) -> None:
        why = None if self.retired or self.stopping else self._recycling.due(self._begun - self._slots.waiting)
        if why is not None:
            logger.info("After %s this process makes place for another", why)
            self.retired = True

    def _fetch(self) -> None:
        backwards = self._forwards >= REVERSED_FETCH - 1
        sources = list(self._sources.values())
        for source in reversed(sources) if backwards else sources:
            for number in range(FETCHES):
                if not source.is_hot:
                    break
                if (room := self._room()) > 0 and (jobs := source.fetch(room, lowest_first=backwards)):
                    self._forwards = 0 if backwards else self._forwards + 1
                    self._begin(jobs)
                elif room <= 0 and number == 0:
                    source.pass_on()

    @property
    def _is_stuck(self) -> bool:
        """Whether the event loop hasn't turned since jobs had to be given back: it would start others no sooner."""
        loop_at = self._pool.loop_at
        return loop_at is not None and loop_at < self._overran_at

    def _room(self) -> int:
        if self._suspects or self._alone or self._is_stuck or self.stopping or self.retired or self._fatal:
            return 0
        unsettled = self._backlog + len(self._ended)
        room = self._prefetch.room(self._slots.concurrency, self._slots.busy, self._slots.waiting, unsettled)
        most_jobs = self._recycling.max_jobs
        return room if most_jobs is None else min(room, most_jobs - self._begun)

    def _begin(self, jobs: Sequence[Job]) -> None:
        self._begun += len(jobs)
        for job in jobs:
            if self._metrics is not None:
                self._metrics.observe_wait(job)
            self._held[lease_of(job)] = HeldJob.of(job)
        self._keeping.hold(jobs)
        settlements = self._hooks.reserved(jobs)
        for settlement in settlements:
            self._add(settlement)
        refused = {id(settlement.job) for settlement in settlements}
        jobs = [job for job in jobs if id(job) not in refused] if refused else jobs
        self._suspects.extend(job for job in jobs if job.suspect)
        self._pool.start([job for job in jobs if not job.suspect])

    def _start_suspect(self) -> None:
        """A job whose process died while it ran beside others runs alone: if it dies again, it was that one."""
        if not self._suspects or self._slots.busy or self._slots.waiting or self._ended:
            return
        job = self._suspects.popleft()
        if lease_of(job) not in self._held:  # its lease was lost meanwhile
            self._settled(Release(job), None)
            return
        self._alone = True
        self._pool.start([job])

    def _sleep(self) -> None:
        """Until there is something to do. While jobs wait for slots, long enough to make settlements a batch."""
        now = time.monotonic()
        wake_at = [now + LONGEST_SLEEP_SECONDS, self._settle_by]
        if self._is_stuck:
            wake_at.append(now + STUCK_SLEEP_SECONDS)
        wake_at.append(self._stop_by if self._cancel_by == math.inf else self._cancel_by)
        if self._slots.waiting:
            wake_at.append(self._slots.moved_at + OVERRUN_SECONDS + 0.001)
        if self._turns.sleep(min(wake_at) - now) and self._slots.waiting and not self.stopping:
            time.sleep(LINGER_SECONDS)

    def _finished(self) -> bool:
        if not (self.stopping or self.retired) or self._live or self._waits or self._ended:
            return False
        if not self._backlog:
            return True
        self._settle_by = min(self._settle_by, time.monotonic() + LAST_SETTLEMENTS_SECONDS)
        if time.monotonic() < self._settle_by:
            return False
        logger.error("%d jobs aren't settled: they will be delivered again when their leases run out", self._backlog)
        return True

    # what it holds

    @property
    def _live(self) -> list[Run]:
        return [run for run in self._slots.running if not run.dropped]

    @property
    def _waits(self) -> bool:
        return self._slots.waiting > 0 or bool(self._suspects)

    @property
    def _backlog(self) -> int:
        return sum(source.backlog for source in self._sources.values())

    def _add(self, settlement: Settlement) -> None:
        self._sources[settlement.job.queue].add(settlement)

    def _settled(self, settlement: Settlement, outcome: Outcome | None) -> None:
        self._held.pop(lease_of(settlement.job), None)
        self._keeping.drop(settlement.job)
        if outcome is not None:
            self._totals[outcome] += 1
        self._hooks.settled(settlement, outcome)
