"""Cancelling: what waits is dead at once, what runs is told, and only the attempt that was meant is hit."""

from __future__ import annotations

from typing import Any

import pytest

from svcjobs.errors import JobIsDead, JobNotFound, LeaseLost
from svcjobs.queue import Ack, Fail, JobQueue, NewJob, Outcome, Release, Unique
from tests.conformance.backends import Backend
from tests.conformance.taking import stored, take, total


def cancelled_job(queue: JobQueue, job_id: str = "1") -> None:
    """The job is dead as cancelled, and nowhere else."""
    (dead,) = queue.dead()
    assert (dead.id, dead.reason) == (job_id, "cancelled")
    assert dead.dead_at is not None
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.in_flight, stats.dead) == (0, 0, 0, 1)
    assert (stats.totals["cancelled"], stats.totals["buried"]) == (1, 1)
    assert queue.reserve_next() is None


@pytest.mark.parametrize("options", [{}, {"priority": 5}, {"delay_seconds": 100}], ids=["ready", "priority", "delayed"])
def test_a_waiting_job_never_runs(
    queue: JobQueue, sibling: JobQueue, backend: Backend, options: dict[str, Any]
) -> None:
    queue.enqueue("x", {"n": 1}, **options)
    assert sibling.cancel("1") is Outcome.CANCELLED
    backend.advance(1000)
    cancelled_job(queue)
    dead = stored(queue, "1")
    assert (dead.payload, dead.attempts, dead.history) == ({"n": 1}, 0, [])
    assert "waited" in (dead.last_error or "")


def test_cancel_many_tells_of_each_what_became_of_it(queue: JobQueue) -> None:
    queue.enqueue("dead")
    queue.bury(take(queue), reason="bad")
    queue.enqueue("runs")
    take(queue)
    queue.enqueue_many([NewJob("waits"), NewJob("waits", delay_seconds=5), NewJob("stays")])
    outcomes = queue.cancel_many(["1", "2", "3", "4", "nobody"])
    assert outcomes == [None, Outcome.CANCELLING, Outcome.CANCELLED, Outcome.CANCELLED, None]
    assert [(job.id, job.reason) for job in queue.dead()] == [("4", "cancelled"), ("3", "cancelled"), ("1", "bad")]
    assert queue.cancel_many([]) == []


def test_only_the_one_job_is_hit(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob(name) for name in "abc"] + [NewJob(name, delay_seconds=5) for name in "de"])
    queue.cancel("2")
    queue.cancel("4")
    assert [job.name for job in queue.reserve_many(9)] == ["a", "c"]
    assert queue.stats().delayed == 1


def test_a_job_that_waits_for_its_retry_is_cancelled(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    queue.fail(take(queue), error="first")
    assert queue.cancel("1") is Outcome.CANCELLED
    backend.advance(1000)
    cancelled_job(queue)
    assert [entry["error"] for entry in stored(queue, "1").history] == ["first"]


def test_cancelling_twice_is_cancelling_once(queue: JobQueue) -> None:
    queue.enqueue("x")
    assert queue.cancel("1") is Outcome.CANCELLED
    assert queue.cancel("1") is Outcome.CANCELLED
    cancelled_job(queue)


def test_what_is_not_there_or_dead_is_refused(queue: JobQueue) -> None:
    with pytest.raises(JobNotFound):
        queue.cancel("1")
    queue.enqueue("x")
    queue.ack(take(queue))
    with pytest.raises(JobNotFound):
        queue.cancel("1")
    queue.enqueue("y")
    queue.bury(take(queue), reason="r")
    with pytest.raises(JobIsDead):
        queue.cancel("2")
    assert stored(queue, "2").reason == "r"
    assert total(queue, "cancelled") == 0


@pytest.mark.parametrize("scope", ["queued", "done"])
def test_a_cancelled_job_frees_its_unique_key(queue: JobQueue, scope: Any) -> None:
    queue.enqueue("x", unique=Unique("k", scope))
    queue.cancel("1")
    assert queue.enqueue("x", unique=Unique("k", scope)).created


def test_a_cancelled_job_can_be_requeued_and_runs(queue: JobQueue) -> None:
    queue.enqueue("x")
    queue.cancel("1")
    queue.requeue("1")
    job = take(queue)
    assert (job.id, job.attempts, job.verdict) == ("1", 1, None)
    assert queue.extend(job) is Outcome.EXTENDED
    assert queue.fail(job) is Outcome.RETRIED


def test_a_running_job_learns_of_it_when_its_lease_is_extended(
    queue: JobQueue, sibling: JobQueue, backend: Backend
) -> None:
    queue.enqueue_many([NewJob("x"), NewJob("y")])
    job, other = queue.reserve_many(2)
    assert sibling.cancel("1") is Outcome.CANCELLING
    assert sibling.cancel("1") is Outcome.CANCELLING
    assert (queue.stats().in_flight, queue.stats().dead) == (2, 0)
    assert queue.extend_many([job, other]) == [Outcome.CANCELLED, Outcome.EXTENDED]
    backend.advance(29)
    assert queue.extend(job) is Outcome.CANCELLED  # told again, and extended, for the handler to clean up
    backend.advance(29)
    assert [taken.id for taken in sibling.reserve_many(9)] == ["2"]


@pytest.mark.parametrize("settlement", ["fail", "fail at last", "release", "charged", "delayed"])
def test_a_cancelled_attempt_is_not_followed_by_another(queue: JobQueue, backend: Backend, settlement: str) -> None:
    queue.enqueue("x", max_attempts=1 if settlement == "fail at last" else 5)
    job = take(queue)
    queue.cancel("1")
    settlements = {
        "fail": Fail(job, "e", "trace"),
        "fail at last": Fail(job, "e", "trace"),
        "release": Release(job),
        "charged": Release(job, charged=True),
        "delayed": Release(job, delay_seconds=5),
    }
    assert queue.settle_many([settlements[settlement]]) == [Outcome.CANCELLED]
    backend.advance(1000)
    cancelled_job(queue)
    dead = stored(queue, "1")
    assert len(dead.history) == 1
    assert dead.last_error == ("e" if "fail" in settlement else "cancelled while a worker had it")
    with pytest.raises(LeaseLost):
        queue.ack(job)


def test_one_job_verbs_tell_of_the_cancel_too(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("x"), NewJob("y")])
    first, second = queue.reserve_many(2)
    queue.cancel("1")
    queue.cancel("2")
    assert queue.fail(first) is Outcome.CANCELLED
    queue.release(second)
    assert total(queue, "cancelled") == 2
    assert (total(queue, "retried"), total(queue, "released")) == (0, 0)


def test_an_attempt_that_is_done_first_stands(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("x"), NewJob("y")])
    first, second = queue.reserve_many(2)
    queue.cancel("1")
    queue.cancel("2")
    assert queue.settle_many([Ack(first)]) == [Outcome.ACKED]
    queue.bury(second, reason="no use")
    (dead,) = queue.dead()
    assert (dead.id, dead.reason) == ("2", "no use")
    assert total(queue, "cancelled") == 0
    queue.requeue("2")
    assert take(queue).verdict is None  # the wish went with its attempt


def test_a_cancelled_attempt_whose_worker_is_lost_is_not_run_again(
    queue: JobQueue, sibling: JobQueue, backend: Backend
) -> None:
    queue.enqueue("x")
    job = take(queue)
    sibling.cancel("1")
    backend.advance(31)
    assert backend.open().reserve_next() is None  # a worker that started later, such as after a restart of all
    cancelled_job(queue)
    assert "was lost" in (stored(queue, "1").last_error or "")
    with pytest.raises(LeaseLost):
        queue.ack(job)


def test_the_worker_that_takes_over_gets_the_verdict_uncharged(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    take(queue)
    queue.cancel("1")
    backend.advance(31)
    for _ in range(3):  # a verdict that nobody carries out comes again
        (job,) = queue.reserve_many(1, verdicts=True)
        assert (job.verdict, job.attempts) == ("cancelled", 1)
        assert queue.extend(job) is Outcome.EXTENDED
        queue.release(job)
    (job,) = queue.reserve_many(1, verdicts=True)
    queue.bury(job, reason="cancelled")
    cancelled_job(queue)


def test_the_wish_is_for_the_attempt_not_for_the_id(queue: JobQueue) -> None:
    queue.enqueue("x", job_id="a")
    old = take(queue)
    queue.cancel("a")
    queue.ack(old)
    queue.enqueue("x", job_id="a")
    job = take(queue)
    assert queue.extend(job) is Outcome.EXTENDED
    assert queue.fail(job) is Outcome.RETRIED


def test_a_wish_is_stored_while_the_queue_is_paused(queue: JobQueue) -> None:
    queue.enqueue("x")
    queue.pause()
    assert queue.cancel("1") is Outcome.CANCELLED
    queue.resume()
    cancelled_job(queue)
