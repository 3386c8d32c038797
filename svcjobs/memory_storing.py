"""How a new job comes into a queue in memory. The caller holds the lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from svcjobs.clock import utc
from svcjobs.job import Job, NewJob, decode_payload
from svcjobs.memory_store import MemoryStore, Record


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a queue object gives the jobs that it stores and that don't say.

    Args:
        max_attempts: attempts before the dead letter queue.
        backoff_seconds: base of the retry delay.
    """

    max_attempts: int
    backoff_seconds: float

    def store(self, store: MemoryStore, new: NewJob, text: str, now: float) -> Job:
        """Store a job whose payload is ``text``, or return one that names the live job with its id or unique key."""
        due_at = now + new.delay_seconds
        job = self.job(new, decode_payload(text), store.name, due_at)
        if twin := store.live_twin(new, now):
            job.id, job.created = twin, False
            return job
        job.id = new.job_id or store.next_id()
        record = Record(job, text)
        if new.retry is not None and new.retry.max_elapsed_seconds is not None:
            record.retry_until = now + new.retry.max_elapsed_seconds
        store.records[job.id] = record
        if new.unique is not None:
            store.unique.take(new.unique, job.id, now)
        if due_at > now:
            store.delay(record, due_at)
        else:
            store.make_ready(record)
        store.totals["enqueued"] += 1
        return job

    def job(self, new: NewJob, payload: dict[str, Any], queue: str, due_at: float) -> Job:
        """The job as it is returned, still without an id."""
        return Job(
            id="",
            name=new.name,
            payload=payload,
            available_at=utc(due_at),
            max_attempts=self.max_attempts if new.max_attempts is None else new.max_attempts,
            backoff_seconds=self.backoff_seconds if new.backoff_seconds is None else new.backoff_seconds,
            queue=queue,
            priority=new.priority,
            retry=new.retry,
            unique=new.unique,
            headers=dict(new.headers or {}),
            soft_time_limit_seconds=new.soft_time_limit_seconds,
            time_limit_seconds=new.time_limit_seconds,
        )
