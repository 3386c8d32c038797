"""What the methods make of arguments that are nearly right: the same on every storage, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from svcjobs.effects import Follow
from svcjobs.errors import InvalidJob
from svcjobs.queue import JobQueue, NewJob
from svcjobs.settlement import Ack, Bury, Fail, Outcome
from tests.conformance.taking import take


def test_text_is_one_id_and_not_its_characters(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("n") for _ in range(12)])
    assert queue.cancel_many("12") == [Outcome.CANCELLED]
    assert [job.id for job in queue.dead()] == ["12"]
    assert queue.requeue_many("12") == [True]
    assert queue.stats().ready == 12
    assert queue.purge_dead("1") == 0


def test_an_iterator_is_as_good_as_a_list(queue: JobQueue) -> None:
    assert len(queue.enqueue_many(NewJob(name) for name in ("a", "b", "c"))) == 3  # type: ignore[arg-type]
    jobs = queue.reserve_many(3)
    assert queue.settle_many(Ack(job) for job in jobs[:1]) == [Outcome.ACKED]  # type: ignore[arg-type]
    queue.ack(jobs[1], effects=(Follow(NewJob("next")) for _ in range(2)))  # type: ignore[arg-type]
    queue.bury(jobs[2], reason="r")
    assert [job.name for job in queue.reserve_many(5)] == ["next", "next"]
    assert queue.requeue_many(job.id for job in queue.dead()) == [True]  # type: ignore[arg-type]
    assert queue.cancel_many(one for one in [take(queue).id]) == [Outcome.CANCELLING]  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [ValueError("x"), b"x", 5])
def test_an_error_that_is_no_text_is_refused_and_the_job_kept(queue: JobQueue, given: Any) -> None:
    queue.enqueue("n")
    job = take(queue)
    calls: list[Callable[[], object]] = [
        lambda: queue.fail(job, error=given), lambda: queue.bury(job, reason=given),
        lambda: queue.bury(job, reason="r", traceback=given), lambda: queue.settle_many([Fail(job, given)]),
        lambda: queue.settle_many([Bury(job, "r", given)]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidJob, match=f"is a {type(given).__name__}: give text"):
            call()
    queue.ack(job)


@pytest.mark.parametrize("limit", [-1, 0])
def test_no_job_is_fewer_than_none(queue: JobQueue, limit: int) -> None:
    queue.enqueue_many([NewJob("n") for _ in range(3)])
    for job in queue.reserve_many(3):
        queue.bury(job, reason="r")
    queue.enqueue_many([NewJob("n") for _ in range(3)])
    assert queue.dead(limit) == []
    assert queue.peek("ready", limit) == []
    assert queue.requeue_all(limit) == 0


def test_an_id_that_no_bytes_can_be_is_refused(queue: JobQueue) -> None:
    calls: list[Callable[[], object]] = [
        lambda: queue.get("\ud800"), lambda: queue.place("\ud800"), lambda: queue.cancel("\ud800"),
        lambda: queue.requeue("\ud800"), lambda: queue.purge_dead("\ud800"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidJob, match="lone surrogates"):
            call()
