"""Looking at jobs without reserving them: where each lies, and pages of each place."""

from __future__ import annotations

import pytest

from svcjobs.queue import JobQueue, NewJob
from tests.conformance.backends import Backend
from tests.conformance.taking import take


def names(queue: JobQueue, place: str, **page: int) -> list[str]:
    return [job.name for job in queue.peek(place, **page)]  # type: ignore[arg-type]


def test_a_job_is_found_wherever_it_lies(queue: JobQueue, backend: Backend) -> None:
    assert queue.place("1") is None
    queue.enqueue("x", delay_seconds=5, max_attempts=1)
    assert queue.place("1") == "delayed"
    backend.advance(5)
    queue.promote()
    assert queue.place("1") == "ready"
    job = take(queue)
    assert queue.place("1") == "leased"
    queue.fail(job)
    assert queue.place("1") == "dead"
    queue.requeue("1")
    assert queue.place("1") == "ready"
    queue.ack(take(queue))
    assert queue.place("1") is None


def test_ready_jobs_come_in_the_order_in_which_they_are_reserved(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob(name, priority=3 if name in "bd" else 0) for name in "abcde"])
    in_line = names(queue, "ready")
    assert in_line == ["a", "c", "e", "b", "d"]
    assert [names(queue, "ready", limit=2, offset=offset) for offset in (0, 2, 4)] == [["a", "c"], ["e", "b"], ["d"]]
    assert [job.name for job in queue.reserve_many(9)] == in_line


def test_delayed_jobs_come_as_they_are_due(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob(str(delay), delay_seconds=delay) for delay in (30, 10, 20)])
    assert names(queue, "delayed") == ["10", "20", "30"]
    assert names(queue, "delayed", limit=1, offset=1) == ["20"]


def test_leased_jobs_come_by_the_age_of_their_lease(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob(name) for name in "abc"])
    for _ in range(3):
        take(queue)
    assert names(queue, "leased") == ["a", "b", "c"]
    assert names(queue, "leased", limit=2, offset=1) == ["b", "c"]


@pytest.mark.parametrize("place", ["ready", "delayed", "leased", "dead"])
def test_a_place_with_nothing_in_it_has_no_page(queue: JobQueue, place: str) -> None:
    assert names(queue, place) == []
    queue.enqueue("x")
    assert names(queue, place, limit=0) == []


def test_nothing_is_changed_by_looking(queue: JobQueue) -> None:
    queue.enqueue("x", {"a": [1]}, headers={"h": "v"})
    (job,) = queue.peek("ready")
    assert (job.id, job.payload, job.headers, job.attempts, job.lease) == ("1", {"a": [1]}, {"h": "v"}, 0, None)
    assert take(queue).attempts == 1
