"""The queue in memory: for tests, development, and jobs that needn't outlive their process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

from svcjobs.clock import Clock
from svcjobs.effects import Effect
from svcjobs.errors import ConfigurationError, JobIsDead, JobNotFound, JobsError, LeaseLost, UniqueConflict
from svcjobs.job import (
    DEFAULT_BACKOFF_SECONDS,
    DEFAULT_MAX_ATTEMPTS,
    MAX_PAYLOAD_BYTES,
    Job,
    NewJob,
    Place,
    Unique,
    as_ids,
    check_queue_settings,
    check_seconds,
    check_tick,
    encode_payload,
)
from svcjobs.memory_effects import MemoryEffects
from svcjobs.memory_server import MemoryServer
from svcjobs.memory_settlement import cancel, leased_record, settle
from svcjobs.memory_store import Record
from svcjobs.memory_storing import Defaults
from svcjobs.retry import RetryPolicy
from svcjobs.settlement import Ack, Bury, Fail, Outcome, Release, Settlement, verdict_error
from svcjobs.stats import QueueStats

T = TypeVar("T")

SWEEP = 1000
"""Most jobs that one reserve promotes, and reclaims."""


class InMemoryJobQueue:
    """A :class:`~svcjobs.queue.JobQueue` in this process's memory.

    It behaves as the one on Redis does. The Job that an enqueue returns is the stored one: who sets its
    ``max_attempts``, ``backoff_seconds`` or ``attempts`` edits it, as one would edit the hash on Redis.

    Args:
        clock: the time, in seconds since the epoch; tests pass a :class:`~svcjobs.clock.MovableClock`.
        visibility_timeout: how long a lease lasts, in seconds.
        name: the queue's name.
        server: the memory to share with other queue objects; None takes one of its own.
        max_attempts: default of the jobs enqueued here.
        backoff_seconds: default of the jobs enqueued here.
        max_payload_bytes: encoded payloads over this are refused.

    Raises:
        ConfigurationError: the name is empty, or a number can't be used.
    """

    def __init__(
        self,
        *,
        clock: Clock = time.time,
        visibility_timeout: float = 60,
        name: str = "jobs",
        server: MemoryServer | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        backoff_seconds: float = DEFAULT_BACKOFF_SECONDS,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        if not name:
            raise ConfigurationError("the queue's name is empty: give one, such as jobs")
        if visibility_timeout == 0:
            raise ConfigurationError("visibility_timeout is 0: give a positive number of seconds")
        check_queue_settings(visibility_timeout, max_attempts, backoff_seconds)
        self._clock = clock
        self._visibility_timeout = visibility_timeout
        self._server = server or MemoryServer()
        self._store = self._server.store(name)
        self._lock = self._server.lock
        self._defaults = Defaults(max_attempts, backoff_seconds)
        self._max_payload_bytes = max_payload_bytes
        self._effects = MemoryEffects(self._server, name, self._defaults, max_payload_bytes)
        self._nonce = secrets.token_hex(5)
        self._leased: dict[str, Job] = {}

    @property
    def name(self) -> str:
        return self._store.name

    @property
    def visibility_timeout(self) -> float:
        return self._visibility_timeout

    def enqueue(
        self,
        name: str,
        payload: dict[str, Any] | None = None,
        *,
        delay_seconds: float = 0,
        max_attempts: int | None = None,
        backoff_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        job_id: str | None = None,
        unique: Unique | None = None,
        priority: int = 0,
        headers: dict[str, str] | None = None,
        soft_time_limit_seconds: float | None = None,
        time_limit_seconds: float | None = None,
    ) -> Job:
        new = NewJob(
            name, {} if payload is None else payload, delay_seconds, max_attempts, backoff_seconds, retry, job_id,
            unique, priority, headers, soft_time_limit_seconds, time_limit_seconds,
        )  # fmt: skip
        return self.enqueue_many([new])[0]

    def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Job]:
        jobs = list(jobs)
        texts = [encode_payload(job.payload, self._max_payload_bytes) for job in jobs]
        with self._lock:
            for job in jobs:
                self._store.refuse_dead(job)
            now = self._clock()
            return [self._defaults.store(self._store, job, text, now) for job, text in zip(jobs, texts, strict=True)]

    def reserve_next(self) -> Job | None:
        jobs = self.reserve_many(1)
        return jobs[0] if jobs else None

    def reserve_many(self, limit: int, *, verdicts: bool = False, lowest_first: bool = False) -> list[Job]:
        with self._lock:
            now = self._clock()
            self._store.promote(now, SWEEP)
            self._store.reclaim(now, SWEEP)
            while jobs := self._take(limit, now, lowest_first=lowest_first):
                condemned = [] if verdicts else [job for job in jobs if job.verdict]
                self.settle_many([Bury(job, job.verdict or "", job.last_error or "") for job in condemned])
                if live := [job for job in jobs if verdicts or not job.verdict]:
                    return live
            return []

    def ack(self, job: Job | str, *, effects: Sequence[Effect] = ()) -> None:
        self._settle_one(Ack(self._reserved(job), effects))

    def fail(
        self,
        job: Job | str,
        *,
        error: str | None = None,
        traceback: str | None = None,
        delay_seconds: float | None = None,
        effects: Sequence[Effect] = (),
    ) -> Outcome:
        return self._settle_one(Fail(self._reserved(job), error or "", traceback, delay_seconds, effects))

    def bury(
        self,
        job: Job | str,
        *,
        reason: str,
        error: str | None = None,
        traceback: str | None = None,
        effects: Sequence[Effect] = (),
    ) -> None:
        self._settle_one(Bury(self._reserved(job), reason, error or "", traceback, effects))

    def release(
        self, job: Job | str, *, delay_seconds: float = 0, charged: bool = False, suspect: bool = False
    ) -> None:
        self._settle_one(Release(self._reserved(job), delay_seconds, charged, suspect))

    def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        settlements = list(settlements)
        outcomes = [Outcome.STALE] * len(settlements)
        with self._lock:
            now = self._clock()
            self._effects.check(settlements, now)
            # verb by verb, as a server gets them
            for verb in (Ack, Fail, Bury, Release):
                self._settle(verb, settlements, outcomes, now)
            for settlement in settlements:
                if self._leased.get(settlement.job.id) is settlement.job:
                    del self._leased[settlement.job.id]
            return outcomes

    def _settle(self, verb: type, settlements: Sequence[Settlement], outcomes: list[Outcome], now: float) -> None:
        places = [at for at, settlement in enumerate(settlements) if type(settlement) is verb]
        front: list[Record] = []
        for at in places:
            outcomes[at] = settle(self._store, settlements[at], now, front)
        for record in reversed(front):
            self._store.make_ready(record, first=True)
        # all jobs first, then all effects: one of them may store a job anew that is done here
        for at in places:
            if outcomes[at] is not Outcome.STALE:
                self._effects.carry_out(settlements[at], now)

    def extend(self, job: Job | str, *, seconds: float | None = None) -> Outcome:
        known = self._reserved(job)
        (outcome,) = self.extend_many([known], seconds=seconds)
        if outcome is Outcome.STALE:
            raise LeaseLost(known.id)
        return outcome

    def extend_many(self, jobs: Sequence[Job], *, seconds: float | None = None) -> list[Outcome]:
        span = self._visibility_timeout if seconds is None else seconds
        check_seconds(span, "seconds")
        with self._lock:
            ends_at = self._clock() + span
            outcomes = []
            for job in jobs:
                record = leased_record(self._store, job)
                if record is None:
                    outcomes.append(Outcome.STALE)
                    continue
                self._store.extend(record, ends_at)
                outcomes.append(Outcome.CANCELLED if record.cancelled else Outcome.EXTENDED)
            return outcomes

    def cancel(self, job_id: str) -> Outcome:
        with self._lock:
            return cancel(self._store, self._known(job_id), self._clock())

    def cancel_many(self, job_ids: Sequence[str]) -> list[Outcome | None]:
        return [_unless(self.cancel, job_id, JobNotFound, JobIsDead) for job_id in as_ids(job_ids)]

    def promote(self, limit: int = 1000) -> int:
        with self._lock:
            return self._store.promote(self._clock(), limit)

    def reclaim(self, limit: int = 1000) -> int:
        with self._lock:
            return self._store.reclaim(self._clock(), limit)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        with self._store.changed:
            while (left := deadline - time.monotonic()) > 0:
                due_at = self._store.next_due_at()
                until_due = left if due_at is None else due_at - self._clock()
                if until_due <= 0:
                    return False
                self._store.changed.wait(min(left, until_due))
        return True

    def get(self, job_id: str) -> Job | None:
        with self._lock:
            record = self._store.find(job_id)
            return None if record is None else record.copy()

    def stats(self) -> QueueStats:
        with self._lock:
            return self._store.stats(self._clock())

    def pause(self) -> None:
        with self._lock:
            self._store.paused = True

    def resume(self) -> None:
        with self._lock:
            self._store.paused = False
            self._store.changed.notify_all()

    def purge(self) -> int:
        with self._lock:
            return self._store.purge()

    def place(self, job_id: str) -> Place | None:
        with self._lock:
            record = self._store.find(job_id)
            return None if record is None else record.place

    def peek(self, place: Place, limit: int = 100, offset: int = 0) -> list[Job]:
        with self._lock:
            return [record.copy() for record in self._store.lying_in(place)[offset : offset + max(limit, 0)]]

    def dead(self, limit: int = 100, offset: int = 0, *, oldest_first: bool = False) -> list[Job]:
        with self._lock:
            records = self._store.lying_in("dead")[:: -1 if oldest_first else 1]
            return [record.copy() for record in records[offset : offset + max(limit, 0)]]

    def requeue(self, job_id: str) -> Job:
        with self._lock:
            record = self._known(job_id)
            if record.place == "dead":
                self._store.requeue(record, self._clock())
            return record.copy()

    def requeue_many(self, job_ids: Sequence[str]) -> list[bool]:
        with self._lock:
            dead = self._store.dead
            ids = as_ids(job_ids)
            return [one in dead and _unless(self.requeue, one, UniqueConflict) is not None for one in ids]

    def requeue_all(self, limit: int | None = None) -> int:
        with self._lock:
            requeued = (job_id for job_id in list(self._store.dead) if self.requeue_many([job_id])[0])
            return sum(1 for _ in islice(requeued, None if limit is None else max(limit, 0)))

    def purge_dead(self, job_id: str | Sequence[str] | None = None) -> int:
        with self._lock:
            dead = self._store.dead
            ids = list(dead) if job_id is None else as_ids(job_id)
            records = [dead[one] for one in dict.fromkeys(ids) if one in dead]
            for record in records:
                self._store.forget(record)
            return len(records)

    def claim_tick(self, name: str, tick_at: float, job: NewJob | None = None) -> Job | None:
        check_tick(tick_at)
        text = "" if job is None else encode_payload(job.payload, self._max_payload_bytes)
        with self._lock:
            if job is not None:
                self._store.refuse_dead(job)
            now = self._clock()
            if not self._store.take_tick(name, tick_at, now):
                return None
            if job is None:
                return self._defaults.job(NewJob(name), {}, self.name, now)
            return self._defaults.store(self._store, job, text, now)

    def last_tick(self, name: str) -> float | None:
        with self._lock:
            return self._store.ticks.get(name)

    def close(self) -> None:
        """There is nothing to close."""

    def _known(self, job_id: str) -> Record:
        record = self._store.find(job_id)
        if record is None:
            raise JobNotFound(f"the queue {self.name} has no job {job_id}")
        return record

    # reserving

    def _take(self, limit: int, now: float, *, lowest_first: bool) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < limit and not self._store.paused:
            record = self._store.take_ready(lowest_first=lowest_first)
            if record is None:
                break
            jobs.append(self._lease(record, now))
        return jobs

    def _lease(self, record: Record, now: float) -> Job:
        verdict = record.verdict(now)
        record.charged = verdict is None
        if record.charged:
            record.lost = False
            record.job.attempts += 1
            unique = record.job.unique
            if unique is not None and unique.scope == "queued":
                self._store.unique.free(unique, record.job.id)
        self._store.lease(record, self._nonce, now + self._visibility_timeout)
        job = record.copy()
        job.lease, job.verdict = record.token, verdict
        if verdict is not None:
            job.last_error = verdict_error(verdict, job.attempts) or job.last_error
        self._leased[job.id] = job
        return job

    # settling

    def _reserved(self, job: Job | str) -> Job:
        if isinstance(job, Job):
            if job.lease is None:
                raise LeaseLost(job.id, "this Job wasn't reserved; settle the one that reserve_next returned")
            return job
        with self._lock:
            if job not in self._leased:
                raise LeaseLost(job, "this queue object didn't reserve it, or settled it before")
            return self._leased[job]

    def _settle_one(self, settlement: Settlement) -> Outcome:
        (outcome,) = self.settle_many([settlement])
        if outcome is Outcome.STALE:
            raise LeaseLost(settlement.job.id)
        return outcome


def _unless(act: Callable[[str], T], job_id: str, *refusals: type[JobsError]) -> T | None:
    """What ``act`` returns, or None when it refuses."""
    try:
        return act(job_id)
    except refusals:
        return None
