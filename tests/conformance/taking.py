"""Reserving in tests, where a job is known to be there."""

from __future__ import annotations

from svcjobs.queue import Job, JobQueue


def take(queue: JobQueue) -> Job:
    """The next job; a failed test when there is none."""
    job = queue.reserve_next()
    assert job is not None, "there is no job to reserve"
    return job


def stored(queue: JobQueue, job_id: str) -> Job:
    """The stored job; a failed test when there is none."""
    job = queue.get(job_id)
    assert job is not None, f"job {job_id} isn't stored"
    return job


def total(queue: JobQueue, name: str) -> int:
    """One of the queue's totals."""
    return queue.stats().totals[name]
