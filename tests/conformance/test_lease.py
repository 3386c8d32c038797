"""Leases: who may settle a job, and what becomes of one whose worker is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from svcjobs.errors import LeaseLost
from svcjobs.queue import Ack, Bury, Fail, Job, JobQueue, NewJob, Outcome, Release
from tests.conformance.backends import Backend
from tests.conformance.taking import stored, take, total

VERBS: dict[str, Callable[[JobQueue, Job | str], object]] = {
    "ack": lambda queue, job: queue.ack(job),
    "fail": lambda queue, job: queue.fail(job, error="e"),
    "bury": lambda queue, job: queue.bury(job, reason="r"),
    "release": lambda queue, job: queue.release(job),
    "extend": lambda queue, job: queue.extend(job),
}
verbs = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)


def stale_total(verb: Callable[[JobQueue, Job | str], object], refused: int) -> int:
    """What the total must be: an extension is refused too, but it isn't a settlement."""
    return 0 if verb is VERBS["extend"] else refused


def test_a_reserved_job_is_counted_leased_and_out_of_reach(queue: JobQueue, sibling: JobQueue) -> None:
    queue.enqueue("x")
    job = take(queue)
    assert (job.attempts, job.verdict) == (1, None)
    assert job.lease is not None
    number, _, nonce = job.lease.partition("-")
    assert number.isdecimal()
    assert nonce
    assert sibling.reserve_next() is None
    assert (queue.stats().ready, queue.stats().in_flight) == (0, 1)
    assert stored(queue, "1").attempts == 1


def test_each_reservation_has_a_token_of_its_own(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("x")] * 5)
    tokens = {job.lease for job in queue.reserve_many(5)}
    job = queue.get("1")
    assert job is not None
    for _ in range(5):
        queue.enqueue("y")
        again = take(queue)
        tokens.add(again.lease)
        queue.release(again)
    assert len(tokens) == 10


def test_acking_removes_the_job(queue: JobQueue) -> None:
    queue.enqueue("x")
    queue.ack(take(queue))
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.in_flight, stats.dead) == (0, 0, 0, 0)
    assert queue.get("1") is None
    assert total(queue, "acked") == 1


def test_an_id_stands_for_what_this_queue_object_reserved_last(queue: JobQueue, sibling: JobQueue) -> None:
    job = queue.enqueue("x")
    with pytest.raises(LeaseLost, match=job.id):
        queue.ack(job.id)  # nobody has reserved it
    take(queue)
    with pytest.raises(LeaseLost):
        sibling.ack(job.id)  # another object has
    queue.ack(job.id)
    with pytest.raises(LeaseLost):
        queue.ack(job.id)
    assert total(queue, "stale") == 0  # nothing of this reached the jobs


def test_p2_an_id_stands_for_a_stale_lease_too(queue: JobQueue, sibling: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    take(queue)
    backend.advance(31)
    take(sibling)
    with pytest.raises(LeaseLost):
        queue.ack("1")
    assert total(queue, "stale") == 1
    sibling.ack("1")


@verbs
def test_a_job_that_was_not_reserved_cant_be_settled(
    queue: JobQueue, verb: Callable[[JobQueue, Job | str], object]
) -> None:
    job = queue.enqueue("x")
    with pytest.raises(LeaseLost):
        verb(queue, job)
    with pytest.raises(LeaseLost):
        verb(queue, "no such id")
    with pytest.raises(LeaseLost):
        verb(queue, stored(queue, job.id))
    assert queue.stats().ready == 1


@verbs
def test_p2_a_stale_settlement_is_refused_and_counted(
    queue: JobQueue, sibling: JobQueue, backend: Backend, verb: Callable[[JobQueue, Job | str], object]
) -> None:
    queue.enqueue("x")
    old = take(queue)
    backend.advance(31)
    new = take(sibling)
    assert new.id == old.id
    before = queue.stats()
    with pytest.raises(LeaseLost) as caught:
        verb(queue, old)
    assert caught.value.job_id == old.id
    after = queue.stats()
    assert (after.in_flight, after.ready, after.delayed, after.dead) == (1, 0, 0, 0)
    assert after.totals["stale"] == before.totals["stale"] + stale_total(verb, 1)
    assert {**after.totals, "stale": 0} == {**before.totals, "stale": 0}
    assert stored(queue, "1").last_error is None
    sibling.ack(new)


@verbs
def test_p2_a_settled_job_cant_be_settled_again(queue: JobQueue, verb: Callable[[JobQueue, Job | str], object]) -> None:
    for settle in (VERBS["ack"], VERBS["fail"], VERBS["bury"], VERBS["release"]):
        queue.enqueue("x")
        job = take(queue)
        settle(queue, job)
        with pytest.raises(LeaseLost):
            verb(queue, job)
        queue.purge()
    assert total(queue, "stale") == stale_total(verb, 4)


@verbs
def test_p2_the_same_id_enqueued_again_leaves_an_old_token_stale(
    queue: JobQueue, sibling: JobQueue, backend: Backend, verb: Callable[[JobQueue, Job | str], object]
) -> None:
    queue.enqueue("x", {"n": 1}, job_id="mine")
    old = take(queue)
    backend.advance(31)
    sibling.ack(take(sibling))
    queue.enqueue("x", {"n": 2}, job_id="mine")
    new = take(sibling)
    assert (new.id, new.payload) == ("mine", {"n": 2})
    with pytest.raises(LeaseLost):
        verb(queue, old)
    assert new.lease != old.lease
    sibling.ack(new)
    assert total(queue, "stale") == stale_total(verb, 1)


def test_p2_another_queue_objects_guess_of_a_token_is_stale(queue: JobQueue) -> None:
    queue.enqueue("x")
    job = take(queue)
    assert job.lease is not None
    forged = Job("1", "x", {}, lease=job.lease.partition("-")[0] + "-0")
    with pytest.raises(LeaseLost):
        queue.ack(forged)
    queue.ack(job)


def test_p2_a_batch_settles_what_it_may_and_tells_the_rest(
    queue: JobQueue, sibling: JobQueue, backend: Backend
) -> None:
    queue.enqueue_many([NewJob(f"{n}", max_attempts=1 if n == 2 else None) for n in range(6)])
    jobs = queue.reserve_many(5)
    stale = queue.reserve_many(1)[0]
    backend.advance(15)
    queue.extend_many(jobs)
    backend.advance(16)
    take(sibling)
    unreserved = Job("77", "x", {})
    outcomes = queue.settle_many(
        [
            Release(jobs[0]), Ack(stale), Fail(jobs[1], "e"), Fail(jobs[2], "e"), Ack(jobs[3]),
            Bury(jobs[4], "r"), Ack(unreserved), Fail(stale), Bury(stale, "r"), Release(stale), Ack(jobs[3]),
        ]
    )  # fmt: skip
    assert outcomes == [
        Outcome.RELEASED, Outcome.STALE, Outcome.RETRIED, Outcome.BURIED, Outcome.ACKED,
        Outcome.BURIED, Outcome.STALE, Outcome.STALE, Outcome.STALE, Outcome.STALE, Outcome.STALE,
    ]  # fmt: skip
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.in_flight, stats.dead) == (1, 1, 1, 2)
    assert stats.totals["stale"] == 6
    assert queue.settle_many([]) == []


def test_a_lease_runs_out_after_the_visibility_timeout_and_not_before(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    take(queue)
    backend.advance(29.9)
    assert queue.reserve_next() is None
    assert queue.reclaim() == 0
    backend.advance(0.2)
    job = take(queue)
    assert (job.id, job.attempts) == ("1", 2)
    assert total(queue, "reclaimed") == 1


def test_each_queue_object_has_its_own_visibility_timeout(backend: Backend) -> None:
    queue = backend.open(visibility_timeout=0.5)
    queue.enqueue("x")
    take(queue)
    backend.advance(0.4)
    assert queue.reserve_next() is None
    backend.advance(0.2)
    take(queue)


def test_a_lease_that_ran_out_unseen_still_settles(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    job = take(queue)
    backend.advance(100)
    queue.ack(job)
    assert queue.reserve_next() is None


def test_reclaimed_jobs_are_first_in_line_in_their_order(queue: JobQueue, backend: Backend) -> None:
    for name in "abcd":
        queue.enqueue(name)
    for _ in range(3):
        take(queue)
        backend.advance(1)
    backend.advance(31)
    assert queue.reclaim() == 3
    assert [job.name for job in queue.reserve_many(9)] == ["a", "b", "c", "d"]


def test_reclaim_moves_up_to_its_limit_and_says_how_many(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue_many([NewJob("x")] * 5)
    queue.reserve_many(5)
    backend.advance(31)
    assert queue.reclaim(limit=3) == 3
    assert (queue.stats().ready, queue.stats().in_flight) == (3, 2)
    assert queue.reclaim() == 2
    assert queue.reclaim() == 0


def test_a_lost_attempt_is_in_the_history(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    take(queue)
    backend.advance(31)
    job = take(queue)
    (entry,) = job.history
    assert entry["attempt"] == 1
    assert "worker_lost" in entry["error"]


def test_p4_an_extended_lease_lasts_from_now(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    job = take(queue)
    for _ in range(5):
        backend.advance(20)
        queue.extend(job)
        assert queue.reserve_next() is None
    queue.extend(job.id, seconds=100)
    backend.advance(99)
    assert queue.reserve_next() is None
    queue.extend(job, seconds=1)  # a shorter one is taken, too
    backend.advance(1.1)
    assert take(queue).attempts == 2


def test_a_lease_that_ran_out_can_be_extended_until_the_job_is_taken(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    job = take(queue)
    backend.advance(50)
    queue.extend(job)
    assert queue.reserve_next() is None
    queue.ack(job)


def test_a_batch_is_extended_where_its_leases_hold(queue: JobQueue, sibling: JobQueue, backend: Backend) -> None:
    queue.enqueue("x")
    old = take(queue)
    backend.advance(31)
    new = take(sibling)
    assert sibling.extend_many([old, new, new]) == [Outcome.STALE, Outcome.EXTENDED, Outcome.EXTENDED]
    assert sibling.extend_many([]) == []
    assert total(queue, "stale") == 0  # a keeper that extends while a worker settles is no fault


def test_p7_a_released_job_is_not_charged_and_first_again(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("a"), NewJob("b"), NewJob("c")])
    first, second = queue.reserve_many(2)
    queue.settle_many([Release(first), Release(second)])
    jobs = queue.reserve_many(3)
    assert [(job.name, job.attempts) for job in jobs] == [("a", 1), ("b", 1), ("c", 1)]
    assert jobs[0].lease != first.lease
    assert total(queue, "released") == 2


def test_a_charged_release_counts_and_goes_to_the_back(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("a"), NewJob("b")])
    queue.release(take(queue), charged=True)
    assert [(job.name, job.attempts) for job in queue.reserve_many(2)] == [("b", 1), ("a", 2)]


def test_a_release_with_a_delay_waits(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("a")
    queue.release(take(queue), delay_seconds=10)
    assert queue.stats().delayed == 1
    backend.advance(9.9)
    assert queue.reserve_next() is None
    backend.advance(0.2)
    assert take(queue).attempts == 1


def test_releasing_for_ever_never_exhausts_a_job(queue: JobQueue) -> None:
    queue.enqueue("a", max_attempts=2)
    for _ in range(10):
        queue.release(take(queue))
    assert take(queue).attempts == 1


def test_reserve_many_takes_no_more_than_asked_for_and_than_there_are(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob("x")] * 5)
    assert queue.reserve_many(0) == []
    assert len(queue.reserve_many(3)) == 3
    assert len(queue.reserve_many(100)) == 2
