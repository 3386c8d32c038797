"""What a job says about how it is to be run: its time limits, and that it may have killed its process."""

from __future__ import annotations

from typing import Any

import pytest

from svcjobs.errors import InvalidJob
from svcjobs.queue import Job, JobQueue, NewJob, Outcome, Release
from tests.conformance.backends import Backend
from tests.conformance.taking import stored, take


def limits(job: Job) -> tuple[float | None, float | None]:
    return job.soft_time_limit_seconds, job.time_limit_seconds


@pytest.mark.parametrize(("soft", "hard"), [(None, None), (2, None), (None, 0.5), (1.5, 90), (3, 3)])
def test_time_limits_travel_with_the_job(
    queue: JobQueue, backend: Backend, soft: float | None, hard: float | None
) -> None:
    given: Any = {"soft_time_limit_seconds": soft, "time_limit_seconds": hard}
    assert limits(queue.enqueue("x", **given)) == (soft, hard)
    queue.enqueue_many([NewJob("y", **given)])
    for job in queue.reserve_many(2):
        assert limits(job) == (soft, hard)
        queue.fail(job, delay_seconds=1)
    backend.advance(2)
    queue.bury(take(queue), reason="r")
    assert limits(take(queue)) == (soft, hard)
    assert [limits(job) for job in queue.dead()] == [(soft, hard)]


@pytest.mark.parametrize(
    ("soft", "hard"), [(0, None), (None, 0), (-1, None), (None, float("nan")), (None, True), ("5", None), (3, 2.9)]
)
def test_limits_that_make_no_sense_are_refused(queue: JobQueue, soft: Any, hard: Any) -> None:
    with pytest.raises(InvalidJob, match="time_limit_seconds"):
        queue.enqueue("x", soft_time_limit_seconds=soft, time_limit_seconds=hard)
    assert queue.stats().ready == 0


def test_a_suspect_is_marked_uncharged_and_first(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("a"), NewJob("b"), NewJob("c")])
    first, second = queue.reserve_many(2)
    assert not first.suspect
    assert queue.settle_many([Release(first, suspect=True), Release(second)]) == [Outcome.RELEASED] * 2
    jobs = queue.reserve_many(3)
    assert [(job.name, job.attempts, job.suspect) for job in jobs] == [("a", 1, True), ("b", 1, False), ("c", 1, False)]


@pytest.mark.parametrize("delay", [0, 5])
def test_a_release_that_says_nothing_clears_the_mark(queue: JobQueue, backend: Backend, delay: float) -> None:
    queue.enqueue("x")
    queue.release(take(queue), delay_seconds=delay, suspect=True)
    assert stored(queue, "1").suspect
    backend.advance(delay)
    job = take(queue)
    assert job.suspect
    queue.release(job.id, delay_seconds=delay)
    backend.advance(delay)
    assert not take(queue).suspect


def test_a_failure_clears_the_mark(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    queue.release(take(queue), suspect=True)
    queue.fail(take(queue), delay_seconds=1)
    backend.advance(2)
    assert not take(queue).suspect


def test_a_dead_job_is_no_suspect(queue: JobQueue) -> None:
    queue.enqueue("x")
    queue.release(take(queue), suspect=True)
    queue.bury(take(queue), reason="r")
    assert not stored(queue, "1").suspect
    queue.requeue("1")
    assert not take(queue).suspect


def test_a_suspect_whose_worker_is_lost_stays_one(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    queue.release(take(queue), suspect=True)
    take(queue)
    backend.advance(31)
    job = take(queue)
    assert (job.suspect, job.attempts) == (True, 2)
