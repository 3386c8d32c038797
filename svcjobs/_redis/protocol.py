"""The queue's operations as programs: generators that yield calls and get their results sent in.

A program does no I/O, so the sync and the async queue drive the same ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from svcjobs._redis import calls
from svcjobs._redis.calls import Program, Request, Stored
from svcjobs._redis.codec import Argument, encode_effects, encode_options
from svcjobs._redis.relay import Relay
from svcjobs._redis.requests import Requests
from svcjobs.clock import Clock, utc
from svcjobs.effects import Effect
from svcjobs.errors import (
    JobIsDead,
    JobNotFound,
    JobsError,
    LeaseLost,
    QueueUnavailable,
    RequestAbandoned,
    UniqueConflict,
)
from svcjobs.job import Job, NewJob, check_queue_settings, check_seconds, check_tick, decode_payload, encode_payload
from svcjobs.settlement import Ack, Bury, Fail, Outcome, Release, Settlement

T = TypeVar("T")

BATCH = 500
"""Most jobs a script call carries: keeps the server's pause for one call near a few milliseconds."""
SEARCHES = 10
"""Jobs of a batch that each search a list, 1 to 2 ms in one of 100,000: the server answers others in between."""
KEPT_LEASES = 100_000
"""Leases remembered for settlements by id; older ones need the Job itself."""
_WORK = ("ready", *(f"ready:{level}" for level in range(1, 10)), "delayed", "processing", "processing_vt", "effects")


class RedisProtocol:
    """Programs for one queue, and the leases that its owner holds."""

    def __init__(
        self,
        prefix: str,
        *,
        visibility_timeout: float,
        max_attempts: int,
        backoff_seconds: float,
        max_payload_bytes: int,
        clock: Clock | None,
        cluster: bool,
        home_db: Callable[[], int],
    ) -> None:
        check_queue_settings(visibility_timeout, max_attempts, backoff_seconds)
        self.prefix = prefix
        self.work_keys = [f"{prefix}:{name}" for name in _WORK]
        """Of which one exists while a reserve may find anything to do, now or later."""
        self.visibility_timeout = visibility_timeout
        self.next_due_at = 0.0
        self.announce: Callable[[Request], object] = _tell_nobody
        """Called with the request of each reserve, before it is made."""
        self._max_attempts = max_attempts
        self._backoff_seconds = backoff_seconds
        self._max_payload_bytes = max_payload_bytes
        self._clock = clock
        self._cluster = cluster
        self._home_db = home_db
        self._requests = Requests()
        self._leased: dict[str, Job] = {}
        self._relay = Relay(prefix, self.now)

    # storing

    def enqueue(self, new: Sequence[NewJob], request: Request | None = None) -> Program[list[Job]]:
        """Store jobs, checked before the first is sent; see :meth:`RedisJobQueue.enqueue_many`."""
        new = list(new)
        encoded = [self._encode(job) for job in new]
        stored: list[Job] = []
        for start in range(0, len(new), BATCH):
            chunk = encoded[start : start + BATCH]
            request = request or self._requests.next()
            try:
                reply = yield calls.enqueue(self.prefix, self.now(), request, [part for job in chunk for part in job])
            except QueueUnavailable as error:
                error.request = request
                raise
            self._requests.answered(request)
            request = None
            stored += self._as_stored(new[start : start + BATCH], chunk, reply)
        return stored

    def claim_tick(self, name: str, tick_at: float, job: NewJob | None) -> Program[Job | None]:
        """Take a tick, and store its job."""
        check_tick(tick_at)
        encoded = self._encode(job or NewJob(name))
        request = self._requests.next()
        reply = yield calls.claim_tick(self.prefix, self.now(), request, name, tick_at, encoded if job else ())
        self._requests.answered(request)
        return None if reply is None else self._as_stored([job or NewJob(name)], [encoded], reply)[0]

    def _encode(self, job: NewJob) -> tuple[str, str, str]:
        payload = encode_payload(job.payload, self._max_payload_bytes)
        return job.name, payload, encode_options(job, self._max_attempts, self._backoff_seconds)

    def _as_stored(self, new: Sequence[NewJob], encoded: Sequence[tuple[str, str, str]], reply: Stored) -> list[Job]:
        return [
            Job(
                id=job_id,
                name=job.name,
                payload=decode_payload(text),
                available_at=utc(reply.now + job.delay_seconds),
                max_attempts=self._max_attempts if job.max_attempts is None else job.max_attempts,
                backoff_seconds=self._backoff_seconds if job.backoff_seconds is None else job.backoff_seconds,
                queue=self.prefix,
                priority=job.priority,
                retry=job.retry,
                unique=job.unique,
                headers=dict(job.headers or {}),
                soft_time_limit_seconds=job.soft_time_limit_seconds,
                time_limit_seconds=job.time_limit_seconds,
                created=created,
            )
            for job, (_, text, _), (job_id, created) in zip(new, encoded, reply.jobs, strict=True)
        ]

    # reserving

    def reserve(self, limit: int, *, verdicts: bool = False, lowest_first: bool = False) -> Program[list[Job]]:
        """Lease jobs; those with a verdict are buried here unless the caller wants them."""
        while True:
            jobs = yield from self._reserve_once(min(limit, BATCH), lowest_first)
            condemned = [] if verdicts else [job for job in jobs if job.verdict]
            if not condemned:
                return jobs
            live = [job for job in jobs if not job.verdict]
            try:
                yield from self.settle([Bury(job, job.verdict or "", job.last_error or "") for job in condemned])
            except JobsError:
                if not live:
                    raise
                # those left unburied come again when their lease has run out
            if live:
                return live

    def _reserve_once(self, limit: int, lowest_first: bool) -> Program[list[Job]]:
        request = self._requests.next_or_unanswered("reserve")
        self.announce(request)
        try:
            reply = yield calls.reserve(self.prefix, self.now(), request, self.visibility_timeout, limit, lowest_first)
        except BaseException:
            self._requests.unanswered("reserve", request)
            raise
        self._requests.answered(request)
        wait = math.inf if reply.next_due_seconds is None else reply.next_due_seconds
        self.next_due_at = time.monotonic() + wait
        for job in reply.jobs:
            self._leased[job.id] = job
        while len(self._leased) > KEPT_LEASES:
            self._leased.pop(next(iter(self._leased)), None)
        if reply.effects:
            yield from self._relay.by_the_way()
        jobs: list[Job] = reply.jobs
        return jobs

    def unheard(self, request: Request) -> Program[list[Job]]:
        """What a reserve of a client that died has leased, as far as it is leased still."""
        try:
            reply = yield calls.reserve(self.prefix, self.now(), request, self.visibility_timeout, 0, False)
        except RequestAbandoned:  # it made another call since, so it had its answer
            return []
        jobs: list[Job] = reply.jobs
        return jobs

    def sweep(self, verb: str, limit: int) -> Program[int]:
        """Promote or reclaim up to ``limit`` jobs."""
        build = calls.promote if verb == "promote" else calls.reclaim
        moved = 0
        while moved < limit:
            step = min(BATCH, limit - moved)
            count = yield build(self.prefix, self.now(), step)
            moved += count
            if count < step:
                break
        return moved

    # settling

    def leased(self, job: Job | str) -> Job:
        """The job with its lease: as given, or as this queue reserved it last under the id.

        Raises:
            LeaseLost: no lease is known.
        """
        if isinstance(job, Job):
            if job.lease is None:
                raise LeaseLost(job.id, "this Job wasn't reserved; settle the one that reserve_next returned")
            return job
        try:
            return self._leased[job]
        except KeyError:
            raise LeaseLost(job, "this queue object didn't reserve it, or settled it before") from None

    def settle_one(self, settlement: Settlement) -> Program[Outcome]:
        """Settle one job; a stale lease is an error."""
        (outcome,) = yield from self.settle([settlement])
        if outcome is Outcome.STALE:
            raise LeaseLost(settlement.job.id)
        return outcome

    def settle(self, settlements: Sequence[Settlement]) -> Program[list[Outcome]]:
        """Settle a batch: one call per verb and chunk.

        When one of the calls fails, all of them wait for a repeat: the same batch gets the outcomes that it had.
        """
        settlements = list(settlements)
        outcomes: list[Outcome] = [Outcome.STALE] * len(settlements)
        made: list[tuple[Hashable, tuple[str, int]]] = []
        try:
            for verb in (Ack, Fail, Bury, Release):
                places = [at for at, settlement in enumerate(settlements) if type(settlement) is verb]
                for start in range(0, len(places), BATCH):
                    chunk = places[start : start + BATCH]
                    results = yield from self._settle_chunk([settlements[at] for at in chunk], made)
                    for at, outcome in zip(chunk, results, strict=True):
                        outcomes[at] = outcome
        except BaseException:
            for call, request in made:
                self._requests.unanswered(call, request)
            raise
        for _, request in made:
            self._requests.answered(request)
        for settlement in settlements:
            if self._leased.get(settlement.job.id) is settlement.job:
                self._leased.pop(settlement.job.id, None)
        return outcomes

    def _settle_chunk(
        self, chunk: Sequence[Any], made: list[tuple[Hashable, tuple[str, int]]]
    ) -> Program[list[Outcome]]:
        verb = type(chunk[0])
        build: Any = {Ack: calls.ack, Fail: calls.fail, Bury: calls.bury, Release: calls.release}[verb]
        arguments: Any = chunk
        if verb is not Release:
            arguments = [(item, self._encode_effects(item.effects, item.job)) for item in chunk]
        call = (verb, *((item.job.id, item.job.lease) for item in chunk))
        request = self._requests.next_or_unanswered(call)
        made.append((call, request))
        outcomes: list[Outcome] = yield build(self.prefix, self.now(), request, arguments)
        if verb is Release:
            return outcomes
        if self._cluster and any(item.effects for item in chunk):
            yield from self._relay.by_the_way()
        return outcomes

    def _encode_effects(self, effects: Sequence[Effect], job: Job) -> list[Argument]:
        if not effects:
            return [0]
        return encode_effects(
            effects,
            self.prefix,
            encode_job=self._encode,
            home_db=self._home_db,
            cluster=self._cluster,
            lease=f"{job.id}:{job.lease}",
        )

    def relay_effects(self) -> Program[int]:
        """Carry out the effects that wait."""
        return self._relay.effects()

    def extend(self, jobs: Sequence[Job], seconds: float | None) -> Program[list[Outcome]]:
        """Let leases run out later."""
        outcomes: list[Outcome] = []
        span = self.visibility_timeout if seconds is None else seconds
        check_seconds(span, "seconds")
        for start in range(0, len(jobs), BATCH):
            request = self._requests.next()
            outcomes += yield calls.extend(self.prefix, self.now(), request, span, jobs[start : start + BATCH])
            self._requests.answered(request)
        return outcomes

    def extend_one(self, job: Job, seconds: float | None) -> Program[Outcome]:
        """Extend one lease; a stale one is an error."""
        (outcome,) = yield from self.extend([job], seconds)
        if outcome is Outcome.STALE:
            raise LeaseLost(job.id)
        return outcome

    def cancel(self, job_id: str) -> Program[Outcome]:
        """Cancel one job."""
        request = self._requests.next()
        (outcome,) = yield calls.cancel(self.prefix, self.now(), request, [job_id])
        self._requests.answered(request)
        if outcome == "missing":
            raise JobNotFound(f"the queue {self.prefix} has no job {job_id}, or its key is no hash")
        if outcome == "dead":
            raise JobIsDead(f"job {job_id} is in the dead letter queue already")
        return Outcome(outcome)

    def cancel_many(self, job_ids: Sequence[str]) -> Program[list[Outcome | None]]:
        """Cancel a batch; None for what can't be."""
        outcomes: list[Outcome | None] = []
        for start in range(0, len(job_ids), SEARCHES):
            request = self._requests.next()
            said = yield calls.cancel(self.prefix, self.now(), request, job_ids[start : start + SEARCHES])
            self._requests.answered(request)
            outcomes += [None if word in ("missing", "dead") else Outcome(word) for word in said]
        return outcomes

    # dead letters and the rest

    def get(self, job_id: str) -> Program[Job | None]:
        """One stored job."""
        jobs = yield calls.read(self.prefix, [job_id])
        return jobs[0] if jobs else None

    def requeue(self, job_id: str) -> Program[Job]:
        """Make one dead job ready."""
        job = yield from self.get(job_id)  # before: a worker may finish it, and with that remove it, right after
        request = self._requests.next()
        ((outcome, available_at),) = yield calls.requeue(self.prefix, self.now(), request, [job_id], False)
        self._requests.answered(request)
        if outcome == "taken":
            raise UniqueConflict(f"job {job_id} stays dead: another live job has its unique key")
        if outcome == "missing" or job is None:
            raise JobNotFound(f"the queue {self.prefix} has no job {job_id}, or its key is no hash")
        if available_at is None:
            return job
        return replace(job, attempts=0, available_at=available_at, reason=None, dead_at=None)

    def requeue_many(self, job_ids: Sequence[str]) -> Program[list[bool]]:
        """Requeue dead jobs of certain ids; False for what is refused."""
        requeued: list[bool] = []
        for start in range(0, len(job_ids), SEARCHES):
            request = self._requests.next()
            said = yield calls.requeue(self.prefix, self.now(), request, job_ids[start : start + SEARCHES], True)
            self._requests.answered(request)
            requeued += [word == "requeued" for word, _ in said]
        return requeued

    def requeue_all(self, limit: int | None) -> Program[int]:
        """Requeue dead jobs, oldest first; those that are refused are passed over."""
        requeued = passed_over = 0
        dead = (yield calls.stats(self.prefix, self.now())).dead
        wanted = dead if limit is None else min(limit, dead)
        while requeued < wanted and requeued + passed_over < dead:
            step = min(BATCH, wanted - requeued, dead - requeued - passed_over)
            page = yield calls.read(self.prefix, place="oldest", offset=passed_over, limit=step)
            if not page:
                break
            done = sum((yield from self.requeue_many([job.id for job in page])))
            requeued += done
            passed_over += len(page) - done
        return requeued

    def purge_dead(self, job_ids: Sequence[str]) -> Program[int]:
        """Remove dead jobs of certain ids."""
        removed = 0
        for start in range(0, len(job_ids), SEARCHES):
            removed += yield calls.purge(self.prefix, "dlq", 0, job_ids[start : start + SEARCHES])
        return removed

    def purge(self, *places: str) -> Program[int]:
        """Remove all jobs of some places."""
        removed = 0
        for place in places:
            while count := (yield calls.purge(self.prefix, place, BATCH)):
                removed += count
        return removed

    def now(self) -> str:
        """The tests' time as the scripts take it; empty for the server's."""
        return "" if self._clock is None else repr(self._clock())


def _tell_nobody(_request: Request) -> None:
    pass
