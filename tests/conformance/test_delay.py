"""Delays and retries: when a job runs, and when it runs again."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from svcjobs.errors import InvalidJob
from svcjobs.job import LONGEST_SECONDS
from svcjobs.queue import JobQueue, Outcome, RetryPolicy
from tests.conformance.backends import Backend
from tests.conformance.taking import stored, take, total


def wait_of(queue: JobQueue, backend: Backend) -> float:
    """Seconds until the one delayed job is due."""
    due = queue.stats().next_delayed_at
    assert due is not None
    return due.timestamp() - backend.clock()


def test_p5_a_delayed_job_is_never_early(queue: JobQueue, backend: Backend) -> None:
    job = queue.enqueue("later", delay_seconds=60)
    assert job.available_at.timestamp() == pytest.approx(backend.clock() + 60, abs=0.001)
    assert queue.reserve_next() is None
    backend.advance(59.99)
    assert queue.reserve_next() is None
    assert queue.stats().delayed == 1
    backend.advance(0.02)
    assert take(queue).id == job.id


def test_p5_delayed_jobs_come_in_the_order_of_their_time(queue: JobQueue, backend: Backend) -> None:
    for seconds in (30, 10, 20, 0.5):
        queue.enqueue(f"{seconds}", delay_seconds=seconds)
    backend.advance(100)
    assert [take(queue).name for _ in range(4)] == ["0.5", "10", "20", "30"]


def test_a_due_job_goes_behind_those_that_are_ready(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("delayed", delay_seconds=5)
    queue.enqueue("ready")
    backend.advance(5)
    assert [job.name for job in queue.reserve_many(2)] == ["ready", "delayed"]


def test_p5_a_delay_longer_than_the_lease_runs_once(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("later", delay_seconds=100)
    for _ in range(10):
        backend.advance(9)
        assert queue.reserve_next() is None
    backend.advance(10)
    job = take(queue)
    assert job.attempts == 1
    assert queue.reserve_next() is None


def test_promote_moves_due_jobs_up_to_its_limit_and_says_how_many(queue: JobQueue, backend: Backend) -> None:
    for seconds in range(1, 6):
        queue.enqueue("x", delay_seconds=seconds)
    assert queue.promote() == 0
    backend.advance(4)
    assert queue.promote(limit=3) == 3
    assert (queue.stats().ready, queue.stats().delayed) == (3, 2)
    assert queue.promote() == 1
    assert queue.promote() == 0


def test_more_jobs_due_at_once_than_one_sweep_moves_all_come_out(queue: JobQueue, backend: Backend) -> None:
    for _ in range(250):
        queue.enqueue("x", delay_seconds=1)
    backend.advance(1)
    taken = 0
    while queue.reserve_next():
        taken += 1
    assert taken == 250


def test_the_documented_table_of_retries(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    for attempt, delay in ((1, 60), (2, 120), (3, 180), (4, 240)):
        job = take(queue)
        assert job.attempts == attempt
        assert queue.fail(job, error=f"failure {attempt}") is Outcome.RETRIED
        assert wait_of(queue, backend) == pytest.approx(delay, abs=0.001)
        assert stored(queue, "1").last_error == f"failure {attempt}"
        backend.advance(delay - 0.01)
        assert queue.reserve_next() is None
        backend.advance(0.02)
    job = take(queue)
    assert (job.attempts, job.last_error) == (5, "failure 4")
    assert queue.fail(job, error="failure 5") is Outcome.BURIED
    assert queue.reserve_next() is None
    (dead,) = queue.dead()
    assert (dead.id, dead.reason, dead.attempts, dead.last_error) == ("1", "exhausted", 5, "failure 5")
    assert [(entry["attempt"], entry["error"]) for entry in dead.history] == [
        (attempt, f"failure {attempt}") for attempt in range(1, 6)
    ]
    assert all(entry["at"][10] == "T" for entry in dead.history)
    assert (total(queue, "retried"), total(queue, "buried")) == (4, 1)


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (RetryPolicy("exponential"), [10, 20, 40, 80]),
        (RetryPolicy("exponential", factor=3), [10, 30, 90, 270]),
        (RetryPolicy("exponential", max_delay_seconds=25), [10, 20, 25, 25]),
        (RetryPolicy("fixed"), [10, 10, 10, 10]),
        (RetryPolicy("linear", max_delay_seconds=25), [10, 20, 25, 25]),
    ],
)
def test_other_policies(queue: JobQueue, backend: Backend, policy: RetryPolicy, delays: list[float]) -> None:
    queue.enqueue("x", backoff_seconds=10, retry=policy)
    for delay in delays:
        queue.fail(take(queue))
        assert wait_of(queue, backend) == pytest.approx(delay, abs=0.001)
        backend.advance(delay + 0.01)


def test_jitter_stays_within_its_bounds_and_varies(queue: JobQueue, backend: Backend) -> None:
    waits = []
    for _ in range(40):
        queue.enqueue("x", backoff_seconds=100, retry=RetryPolicy("fixed", jitter=0.2))
        queue.fail(take(queue))
        waits.append(wait_of(queue, backend))
        queue.purge()
    assert all(80 - 0.001 <= wait <= 120 + 0.001 for wait in waits)
    assert len({round(wait, 3) for wait in waits}) > 20
    assert min(waits) < 97 < 103 < max(waits)


def test_a_delay_given_with_the_failure_replaces_the_backoff(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x", retry=RetryPolicy("exponential"))
    queue.fail(take(queue), delay_seconds=7.5)
    assert wait_of(queue, backend) == pytest.approx(7.5, abs=0.001)
    backend.advance(7.51)
    queue.fail(take(queue), delay_seconds=0)
    assert take(queue).attempts == 3


def test_a_delay_given_with_the_failure_is_no_further_attempt(queue: JobQueue) -> None:
    queue.enqueue("x", max_attempts=1)
    assert queue.fail(take(queue), delay_seconds=1) is Outcome.BURIED


def test_no_backoff_runs_at_once_and_behind_the_others(queue: JobQueue) -> None:
    queue.enqueue("a", backoff_seconds=0)
    queue.enqueue("b")
    queue.fail(take(queue))
    assert [job.name for job in queue.reserve_many(2)] == ["b", "a"]


def test_a_policy_ends_after_its_elapsed_time(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x", backoff_seconds=10, max_attempts=99, retry=RetryPolicy("fixed", max_elapsed_seconds=25))
    for _ in range(2):
        assert queue.fail(take(queue), error="not yet") is Outcome.RETRIED
        backend.advance(10)
    assert queue.fail(take(queue), error="too late") is Outcome.BURIED  # at 20 s; the next would be at 30 s
    (dead,) = queue.dead()
    assert (dead.reason, dead.attempts, dead.last_error) == ("exhausted", 3, "too late")


def test_no_attempt_starts_after_the_elapsed_time_of_its_policy(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x", retry=RetryPolicy(max_elapsed_seconds=25))
    take(queue)
    backend.advance(31)  # the worker is gone
    assert queue.reserve_next() is None
    (dead,) = queue.dead()
    assert (dead.reason, dead.attempts) == ("exhausted", 1)


def test_what_a_handler_changed_counts_at_its_failure(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    job = take(queue)
    job.backoff_seconds = 5
    job.max_attempts = 2
    assert queue.fail(job) is Outcome.RETRIED
    assert wait_of(queue, backend) == pytest.approx(5, abs=0.001)
    assert (stored(queue, "1").max_attempts, stored(queue, "1").backoff_seconds) == (2, 5)
    backend.advance(6)
    job = take(queue)
    assert (job.max_attempts, job.backoff_seconds) == (2, 5)
    assert queue.fail(job.id) is Outcome.BURIED


def test_what_a_handler_changed_counts_when_it_is_settled_by_its_id(queue: JobQueue) -> None:
    queue.enqueue("x")
    take(queue).max_attempts = 1
    queue.enqueue("y")
    job = take(queue)
    job.max_attempts = 1
    assert queue.fail("2") is Outcome.BURIED


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "5"])
def test_a_bad_delay_of_a_retry_or_release_is_refused(queue: JobQueue, seconds: float) -> None:
    queue.enqueue("x")
    job = take(queue)
    with pytest.raises(InvalidJob):
        queue.fail(job, delay_seconds=seconds)
    with pytest.raises(InvalidJob):
        queue.release(job, delay_seconds=seconds)
    queue.ack(job)


@pytest.mark.parametrize("growth", ["exponential", "linear"])
def test_no_backoff_is_longer_than_a_hundred_years(
    queue: JobQueue, backend: Backend, growth: Literal["exponential", "linear"]
) -> None:
    queue.enqueue("x", backoff_seconds=LONGEST_SECONDS, max_attempts=400, retry=RetryPolicy(growth, factor=1e9))
    queue.enqueue("y", backoff_seconds=LONGEST_SECONDS, max_attempts=400)
    for _ in range(2):
        for job in queue.reserve_many(2):
            queue.fail(job)
        assert wait_of(queue, backend) <= LONGEST_SECONDS + 0.001
        backend.advance(LONGEST_SECONDS + 1)
    assert len(queue.reserve_many(2)) == 2


def test_a_handler_that_sets_an_absurd_backoff_harms_nobody(queue: JobQueue, backend: Backend) -> None:
    for backoff in (-5, 1e300, math.inf, math.nan):
        queue.enqueue("x")
        job = take(queue)
        job.backoff_seconds = backoff
        assert queue.fail(job) in (Outcome.RETRIED, Outcome.BURIED)
    queue.enqueue("fine")
    names = [job.name for job in queue.reserve_many(9)]
    assert "fine" in names
    queue.stats()
    for job_id in "1234":
        queue.get(job_id)
