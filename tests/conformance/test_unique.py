"""Unique keys: how long each scope holds one, and what happens around it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from svcjobs.errors import UniqueConflict
from svcjobs.job import UniqueScope
from svcjobs.queue import JobQueue, NewJob, Unique
from tests.conformance.backends import Backend
from tests.conformance.taking import take, total

QUEUED, DONE = Unique("k", "queued"), Unique("k", "done")
both = pytest.mark.parametrize("unique", [QUEUED, DONE], ids=["queued", "done"])


def is_free(queue: JobQueue, unique: Unique) -> bool:
    """Whether a job could take the key; one that does is removed again."""
    job = queue.enqueue("probe", unique=unique, delay_seconds=9999)
    if job.created:
        queue.purge()
    return job.created


@both
def test_a_second_job_with_the_key_is_the_first(queue: JobQueue, unique: Unique) -> None:
    first = queue.enqueue("a", {"n": 1}, unique=unique)
    second = queue.enqueue("b", {"n": 2}, unique=unique, delay_seconds=5)
    assert (second.id, second.created) == (first.id, False)
    assert (queue.stats().ready, queue.stats().delayed, total(queue, "enqueued")) == (1, 0, 1)
    assert take(queue).payload == {"n": 1}


def test_a_delayed_job_holds_its_key(queue: JobQueue) -> None:
    queue.enqueue("a", unique=QUEUED, delay_seconds=50)
    assert not queue.enqueue("a", unique=QUEUED).created


def test_other_keys_and_other_queues_are_free(queue: JobQueue, backend: Backend) -> None:
    assert queue.enqueue("a", unique=Unique("k")).created
    assert queue.enqueue("a", unique=Unique("K")).created
    assert backend.open(f"{backend.prefix}:{{other}}").enqueue("a", unique=Unique("k")).created


@both
def test_within_one_batch(queue: JobQueue, unique: Unique) -> None:
    jobs = queue.enqueue_many([NewJob("a", unique=unique), NewJob("b", unique=unique), NewJob("c")])
    assert [(job.id, job.created) for job in jobs] == [("1", True), ("1", False), ("2", True)]


def test_of_many_enqueues_at_the_same_time_one_is_stored(queue: JobQueue) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: queue.enqueue("a", unique=DONE), range(100)))
    assert {job.id for job in jobs} == {"1"}
    assert sum(job.created for job in jobs) == 1
    assert queue.stats().ready == 1


def test_queued_frees_the_key_when_an_attempt_starts(queue: JobQueue) -> None:
    queue.enqueue("a", unique=QUEUED)
    take(queue)
    assert is_free(queue, QUEUED)


def test_done_holds_the_key_until_the_ack(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("a", unique=DONE)
    job = take(queue)
    assert not is_free(queue, DONE)
    queue.fail(job, delay_seconds=0)
    assert not is_free(queue, DONE)
    take(queue)
    backend.advance(31)
    queue.reclaim()
    assert not is_free(queue, DONE)
    queue.release(take(queue))
    assert not is_free(queue, DONE)
    queue.ack(take(queue))
    assert is_free(queue, DONE)


@both
def test_burying_frees_the_key(queue: JobQueue, unique: Unique) -> None:
    queue.enqueue("a", unique=unique)
    queue.bury(take(queue), reason="r")
    assert queue.enqueue("b", unique=unique).created


@pytest.mark.parametrize("how", ["fail", "release", "reclaim"])
def test_queued_takes_the_key_again_when_the_job_waits_again(queue: JobQueue, backend: Backend, how: str) -> None:
    queue.enqueue("a", unique=QUEUED)
    job = take(queue)
    if how == "fail":
        queue.fail(job)
    elif how == "release":
        queue.release(job)
    else:
        backend.advance(31)
        queue.reclaim()
    again = queue.enqueue("b", unique=QUEUED)
    assert (again.id, again.created) == ("1", False)


def test_queued_leaves_the_key_to_a_job_that_took_it_meanwhile(queue: JobQueue) -> None:
    queue.enqueue("a", unique=QUEUED)
    first = take(queue)
    second = queue.enqueue("b", unique=QUEUED)
    assert second.created
    queue.fail(first, delay_seconds=60)
    assert queue.enqueue("c", unique=QUEUED).id == second.id
    queue.ack(take(queue))  # b; a is delayed and holds nothing
    assert queue.enqueue("c", unique=QUEUED).created


def test_done_of_another_job_isnt_freed(queue: JobQueue) -> None:
    queue.enqueue("a", unique=QUEUED)
    first = take(queue)
    second = queue.enqueue("b", unique=DONE)
    queue.ack(first)
    assert queue.enqueue("c", unique=DONE).id == second.id


@both
def test_requeue_takes_the_key_again(queue: JobQueue, unique: Unique) -> None:
    queue.enqueue("a", unique=unique)
    queue.bury(take(queue), reason="r")
    queue.requeue("1")
    again = queue.enqueue("b", unique=unique)
    assert (again.id, again.created) == ("1", False)


@both
def test_requeue_is_refused_when_another_job_has_the_key(queue: JobQueue, unique: Unique) -> None:
    queue.enqueue("a", unique=unique)
    queue.bury(take(queue), reason="r")
    other = queue.enqueue("b", unique=unique)
    with pytest.raises(UniqueConflict, match="1"):
        queue.requeue("1")
    assert [job.id for job in queue.dead()] == ["1"]
    queue.ack(take(queue))
    assert not other.lease
    assert queue.requeue("1").id == "1"


def test_requeue_all_passes_over_those_that_are_refused(queue: JobQueue) -> None:
    for name, unique in (("a", DONE), ("b", None), ("c", None)):
        queue.enqueue(name, unique=unique)
        queue.bury(take(queue), reason="r")
    queue.enqueue("other", unique=DONE)
    assert queue.requeue_all() == 2
    assert [job.name for job in queue.dead()] == ["a"]
    assert queue.requeue_all(limit=1) == 0


def test_requeue_all_of_two_with_one_key_requeues_the_older(queue: JobQueue) -> None:
    for name in ("a", "b"):
        queue.enqueue(name, unique=DONE)
        queue.bury(take(queue), reason="r")
    assert queue.requeue_all() == 1
    assert [job.name for job in queue.dead()] == ["b"]


@both
def test_purge_frees_the_keys(queue: JobQueue, unique: Unique) -> None:
    queue.enqueue("a", unique=unique)
    queue.purge()
    assert queue.enqueue("a", unique=unique).created
    queue.purge()
    queue.enqueue("a", unique=unique, delay_seconds=5)
    queue.purge()
    assert queue.enqueue("a", unique=unique).created


def test_a_window_outlives_the_job_and_ends_by_time(queue: JobQueue, backend: Backend) -> None:
    unique = Unique("k", "window", 0.6)
    first = queue.enqueue("a", unique=unique)
    assert queue.enqueue("b", unique=unique).id == first.id
    queue.ack(take(queue))
    again = queue.enqueue("b", unique=unique)
    assert (again.id, again.created) == (first.id, False)
    backend.let_keys_expire(0.7)
    assert queue.enqueue("b", unique=unique).created


@pytest.mark.parametrize("end", ["ack", "bury", "purge"])
def test_a_window_holds_whatever_became_of_the_job(queue: JobQueue, end: str) -> None:
    unique = Unique("k", "window", 3600)
    queue.enqueue("a", unique=unique)
    if end == "purge":
        queue.purge()
    elif end == "ack":
        queue.ack(take(queue))
    else:
        queue.bury(take(queue), reason="r")
    assert not queue.enqueue("b", unique=unique).created


def test_a_job_in_a_window_can_be_requeued(queue: JobQueue) -> None:
    queue.enqueue("a", unique=Unique("k", "window", 3600))
    queue.bury(take(queue), reason="r")
    assert queue.requeue("1").id == "1"


def test_requeue_is_refused_in_the_window_of_a_job_that_is_done(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("a", unique=DONE)
    queue.bury(take(queue), reason="r")
    window = Unique(DONE.key, "window", 4)
    queue.enqueue("b", unique=window)
    queue.ack(take(queue))
    with pytest.raises(UniqueConflict):
        queue.requeue("1")
    backend.let_keys_expire(4.1)
    assert queue.requeue("1").id == "1"
    assert not queue.enqueue("c", unique=DONE).created


def test_a_dead_worker_leaves_the_key_with_its_job(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("a", unique=DONE)
    take(queue)
    backend.advance(3600)
    assert not queue.enqueue("b", unique=DONE).created
    assert take(queue).id == "1"


@pytest.mark.parametrize("scope", ["queued", "done"])
def test_any_key_without_control_characters_works(queue: JobQueue, scope: UniqueScope) -> None:
    for key in ("a:b", "=", "window=3:x", "{x}", "ünï 世", "%", " "):
        unique = Unique(key, scope)
        assert queue.enqueue("a", unique=unique).created
        assert not queue.enqueue("a", unique=unique).created
        job = take(queue)
        assert job.unique == unique
        queue.ack(job)
        assert queue.enqueue("a", unique=unique).created
        queue.purge()


def test_the_owner_is_found_by_its_key_while_it_runs_elsewhere(queue: JobQueue, sibling: JobQueue) -> None:
    queue.enqueue("a", unique=DONE)
    job = take(sibling)
    assert queue.enqueue("b", unique=DONE).id == job.id
    sibling.ack(job)
    assert queue.enqueue("b", unique=DONE).created
