"""What a settlement does to a job in memory. The caller holds the lock."""

from __future__ import annotations

import math

from svcjobs.clock import utc
from svcjobs.errors import JobIsDead
from svcjobs.job import DEFAULT_BACKOFF_SECONDS, LONGEST_SECONDS, Job
from svcjobs.memory_store import MemoryStore, Record
from svcjobs.settlement import Ack, Bury, Fail, Outcome, Release, Settlement


def leased_record(store: MemoryStore, job: Job) -> Record | None:
    """The job's record if its lease is the current one, else None."""
    record = store.records.get(job.id)
    held = record is not None and record.token is not None and record.token == job.lease
    return record if held else None


def settle(store: MemoryStore, settlement: Settlement, now: float, front: list[Record]) -> Outcome:
    """Settle one job, without its effects.

    A job that is to be first in line is added to ``front``: the caller puts a batch there in its order.
    """
    record = leased_record(store, settlement.job)
    if record is None:
        store.totals["stale"] += 1
        return Outcome.STALE
    match settlement:
        case Ack():
            store.forget(record)
            store.totals["acked"] += 1
            return Outcome.ACKED
        case Fail():
            return _fail(store, record, settlement, now)
        case Bury(reason=reason, error=error, traceback=traceback):
            if settlement.job.verdict is None:  # a verdict is no attempt
                record.remember(f"{reason}: {error}" if error else reason, now)
            _bury(store, record, reason, error, traceback, now)
            return Outcome.BURIED
        case Release():
            return _release(store, record, settlement, now, front)


def cancel(store: MemoryStore, record: Record, now: float) -> Outcome:
    """Bury a job that waits, mark the attempt of one that is leased.

    Raises:
        JobIsDead: it is dead for another reason.
    """
    if record.place == "dead" and record.job.reason != "cancelled":
        raise JobIsDead(f"job {record.job.id} is in the dead letter queue already")
    if record.place == "leased":
        record.cancel = record.token
        return Outcome.CANCELLING
    if record.place != "dead":
        store.take_out(record)
        _bury(store, record, "cancelled", "cancelled while it waited", None, now)
    return Outcome.CANCELLED


def _fail(store: MemoryStore, record: Record, fail: Fail, now: float) -> Outcome:
    job = record.job
    if limits := fail.job.changed_limits:
        job.max_attempts, job.backoff_seconds = limits
    record.remember(fail.error, now)
    if record.cancelled:
        _bury(store, record, "cancelled", fail.error, fail.traceback, now)
        return Outcome.CANCELLED
    delay_seconds = _next_delay(record, fail)
    too_late = record.retry_until is not None and now + delay_seconds > record.retry_until
    if job.attempts >= job.max_attempts or too_late:
        _bury(store, record, "exhausted", fail.error, fail.traceback, now)
        return Outcome.BURIED
    job.last_error, job.suspect = fail.error or None, False
    store.wait_unique(record, now)
    store.delay(record, now + delay_seconds)
    store.totals["retried"] += 1
    return Outcome.RETRIED


def _next_delay(record: Record, fail: Fail) -> float:
    job = record.job
    if fail.delay_seconds is not None:
        return fail.delay_seconds
    if fail.job.retry is not None:
        return _bounded(fail.job.retry.delay_seconds(fail.job.attempts, fail.job.backoff_seconds))
    return _bounded(job.backoff_seconds * job.attempts)


def _bounded(seconds: float) -> float:
    """A delay that leads to an instant, whatever a handler made of the job's backoff."""
    if math.isnan(seconds):
        return DEFAULT_BACKOFF_SECONDS
    return max(-LONGEST_SECONDS, min(seconds, LONGEST_SECONDS))


def _bury(store: MemoryStore, record: Record, reason: str, error: str, traceback: str | None, now: float) -> None:
    job = record.job
    job.reason, job.last_error, job.dead_at = reason, error or None, utc(now)
    job.traceback, job.suspect = traceback or job.traceback, False
    store.bury(record)


def _release(store: MemoryStore, record: Record, release: Release, now: float, front: list[Record]) -> Outcome:
    if record.cancelled:
        record.remember("cancelled while a worker had it", now)
        _bury(store, record, "cancelled", "cancelled while a worker had it", None, now)
        return Outcome.CANCELLED
    if record.charged and not release.charged:
        record.job.attempts -= 1
    record.job.suspect = release.suspect
    store.totals["released"] += 1
    store.wait_unique(record, now)
    if release.delay_seconds > 0:
        store.delay(record, now + release.delay_seconds)
    elif release.charged:
        store.make_ready(record)
    else:
        store.end_lease(record)
        front.append(record)
    return Outcome.RELEASED
