"""The dead letter queue: what gets there, what it tells, and how a job leaves it."""

from __future__ import annotations

import pytest

from svcjobs.errors import JobNotFound
from svcjobs.queue import Bury, Job, JobQueue, NewJob, Outcome, Release, RetryPolicy, Unique
from tests.conformance.backends import Backend
from tests.conformance.taking import stored, take, total


def kill(queue: JobQueue, name: str = "x", **options: object) -> Job:
    """A job that is dead."""
    job = queue.enqueue(name, **options)  # type: ignore[arg-type]
    queue.bury(take(queue), reason="bad", error="it is bad")
    return job


def lose(queue: JobQueue, backend: Backend, times: int) -> None:
    """Let so many workers die with the job."""
    for _ in range(times):
        take(queue)
        backend.advance(31)


def test_p9_a_buried_job_keeps_its_payload_and_tells_why(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x", {"a": [1]}, headers={"h": "v"}, priority=3)
    queue.bury(take(queue), reason="rejected", error="not today", traceback="Traceback: …")
    (dead,) = queue.dead()
    assert (dead.id, dead.name, dead.payload, dead.headers, dead.priority) == ("1", "x", {"a": [1]}, {"h": "v"}, 3)
    assert (dead.reason, dead.last_error, dead.traceback) == ("rejected", "not today", "Traceback: …")
    assert dead.dead_at is not None
    assert dead.dead_at.timestamp() == pytest.approx(backend.clock(), abs=0.001)
    assert dead.attempts == 1
    assert [(entry["attempt"], entry["error"]) for entry in dead.history] == [(1, "rejected: not today")]
    assert queue.reserve_next() is None
    assert (queue.stats().dead, total(queue, "buried")) == (1, 1)


def test_p9_the_last_failure_keeps_its_traceback(queue: JobQueue) -> None:
    queue.enqueue("x", max_attempts=1)
    assert queue.fail(take(queue), error="e", traceback="T") is Outcome.BURIED
    (dead,) = queue.dead()
    assert (dead.reason, dead.last_error, dead.traceback) == ("exhausted", "e", "T")


def test_an_error_of_any_text_is_stored(queue: JobQueue) -> None:
    for error in ("\ud800 lone", "null \x00", "tür\n世界 🎉", "x" * 100_000, '"quoted"\\', "", None):
        queue.enqueue("x", max_attempts=2)
        assert queue.fail(take(queue), error=error, delay_seconds=0) is Outcome.RETRIED
        assert queue.fail(take(queue), error=error, traceback=error) is Outcome.BURIED
    dead = queue.dead()
    assert len(dead) == 7
    assert all(len(job.history) == 2 for job in dead)
    assert dead[4].last_error == "tür\n世界 🎉"
    assert dead[4].history[0]["error"] == "tür\n世界 🎉"
    assert (dead[0].last_error, dead[1].last_error) == (None, None)


def test_the_history_of_many_attempts_stays_short_and_keeps_the_newest(queue: JobQueue) -> None:
    queue.enqueue("x", max_attempts=200)
    for attempt in range(1, 101):
        queue.fail(take(queue), error=f"{attempt} " + "x" * 400, delay_seconds=0)
    history = stored(queue, "1").history
    assert 5 <= len(history) < 40
    assert [entry["attempt"] for entry in history] == list(range(101 - len(history), 101))


def test_a_page_of_the_dead_newest_first(queue: JobQueue) -> None:
    for n in range(5):
        kill(queue, f"{n}")
    assert [job.name for job in queue.dead()] == ["4", "3", "2", "1", "0"]
    assert [job.name for job in queue.dead(limit=2)] == ["4", "3"]
    assert [job.name for job in queue.dead(limit=2, offset=3)] == ["1", "0"]
    assert queue.dead(offset=5) == []
    assert queue.dead(limit=0) == []


def test_p9_a_job_that_kills_its_workers_is_dead_lettered(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("poison", max_attempts=3)
    queue.enqueue("fine")
    lose(queue, backend, 3)
    job = take(queue)
    assert job.name == "fine"
    (dead,) = queue.dead()
    assert (dead.name, dead.reason, dead.attempts) == ("poison", "worker_lost", 3)
    assert dead.last_error == "the worker of attempt 3 was lost: its lease ran out"
    assert [entry["attempt"] for entry in dead.history][:3] == [1, 2, 3]
    assert total(queue, "reclaimed") == 3


def test_the_verdict_goes_to_a_caller_that_asks_for_it(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("poison", {"a": 1}, max_attempts=2)
    lose(queue, backend, 2)
    (job,) = queue.reserve_many(1, verdicts=True)
    assert (job.verdict, job.attempts, job.payload) == ("worker_lost", 2, {"a": 1})
    assert (queue.stats().in_flight, queue.stats().dead) == (1, 0)
    assert queue.settle_many([Bury(job, job.verdict or "")]) == [Outcome.BURIED]
    assert [dead.reason for dead in queue.dead()] == ["worker_lost"]


def test_a_job_whose_limit_fell_below_its_attempts_is_exhausted(queue: JobQueue) -> None:
    queue.enqueue("x")
    job = take(queue)
    job.max_attempts = 2
    queue.fail(job, delay_seconds=0)
    queue.fail(take(queue), error="last")
    assert [dead.reason for dead in queue.dead()] == ["exhausted"]


def test_a_lost_attempt_before_the_last_doesnt_make_the_verdict(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x", max_attempts=2)
    lose(queue, backend, 1)
    queue.fail(take(queue), error="e")
    (dead,) = queue.dead()
    assert (dead.reason, dead.last_error) == ("exhausted", "e")


def test_p9_a_job_with_a_verdict_gets_no_further_attempt_by_being_given_back(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("poison", max_attempts=2)
    lose(queue, backend, 2)
    for leave in (queue.release, lambda job: queue.release(job, charged=True), lambda job: backend.advance(31)):
        (job,) = queue.reserve_many(1, verdicts=True)
        assert (job.verdict, job.attempts) == ("worker_lost", 2)
        leave(job)
    (job,) = queue.reserve_many(1, verdicts=True)
    assert (job.verdict, job.attempts) == ("worker_lost", 2)


def test_a_batch_goes_on_past_jobs_with_a_verdict(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue_many([NewJob("poison", max_attempts=1) for _ in range(5)])
    queue.reserve_many(5)
    backend.advance(31)
    queue.enqueue("fine")
    assert [job.name for job in queue.reserve_many(2)] == ["fine"]
    assert queue.stats().dead == 5


def test_p9_requeue_makes_a_job_ready_with_the_same_id_and_no_attempts(queue: JobQueue, backend: Backend) -> None:
    kill(queue, payload={"a": 1})
    queue.enqueue("first")
    backend.advance(5)
    job = queue.requeue("1")
    assert (job.id, job.attempts, job.reason, job.dead_at) == ("1", 0, None, None)
    assert job == stored(queue, "1")
    assert queue.dead() == []
    assert take(queue).name == "first"
    again = take(queue)
    assert (again.id, again.attempts, again.payload) == ("1", 1, {"a": 1})
    assert total(queue, "requeued") == 1


def test_p9_requeue_is_idempotent_and_leaves_live_jobs_alone(queue: JobQueue) -> None:
    kill(queue)
    queue.requeue("1")
    assert queue.requeue("1").id == "1"
    assert queue.stats().ready == 1
    job = take(queue)
    assert queue.requeue("1").attempts == 1  # leased
    queue.fail(job)
    assert queue.requeue("1").attempts == 1  # delayed
    assert (queue.stats().ready, queue.stats().delayed) == (0, 1)
    assert total(queue, "requeued") == 1


def test_requeue_of_an_unknown_id_is_an_error(queue: JobQueue) -> None:
    with pytest.raises(JobNotFound, match="77"):
        queue.requeue("77")
    queue.enqueue("x")
    queue.ack(take(queue))
    with pytest.raises(JobNotFound):
        queue.requeue("1")


def test_p9_a_requeued_job_may_run_as_often_as_a_new_one(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("x", max_attempts=2)
    lose(queue, backend, 2)
    assert queue.reserve_next() is None
    queue.requeue("1")
    lose(queue, backend, 1)
    assert queue.fail(take(queue), error="e") is Outcome.BURIED
    assert [dead.reason for dead in queue.dead()] == ["exhausted"]


def test_p9_a_requeued_job_has_its_policys_time_behind_it(queue: JobQueue, backend: Backend) -> None:
    """Somebody decided that it may run, so how old it is doesn't count any more."""
    queue.enqueue("x", retry=RetryPolicy(max_elapsed_seconds=25))
    lose(queue, backend, 1)
    assert queue.reserve_next() is None
    queue.requeue("1")
    job = take(queue)
    assert (job.attempts, job.verdict) == (1, None)
    assert queue.fail(job, error="e", delay_seconds=0) is Outcome.RETRIED
    assert take(queue).attempts == 2


def test_requeue_all_takes_the_oldest_first(queue: JobQueue) -> None:
    for n in range(4):
        kill(queue, f"{n}")
    assert queue.requeue_all(limit=2) == 2
    assert [job.name for job in queue.dead()] == ["3", "2"]
    assert [job.name for job in queue.reserve_many(9)] == ["0", "1"]
    assert queue.requeue_all() == 2
    assert queue.requeue_all() == 0
    assert [job.name for job in queue.reserve_many(9)] == ["2", "3"]


def test_a_page_from_the_oldest_end_stays_while_jobs_die(queue: JobQueue) -> None:
    for n in range(5):
        kill(queue, f"{n}")
    assert [job.name for job in queue.dead(limit=2, oldest_first=True)] == ["0", "1"]
    kill(queue, "5")
    assert [job.name for job in queue.dead(limit=2, offset=2, oldest_first=True)] == ["2", "3"]
    assert [job.name for job in queue.dead(offset=4, oldest_first=True)] == ["4", "5"]
    assert queue.dead(offset=6, oldest_first=True) == []


def test_requeue_many_tells_of_each_whether_it_was_done(queue: JobQueue) -> None:
    for n in range(70):
        kill(queue, f"{n}")
    queue.enqueue("alive")
    assert queue.requeue_many(["3", "71", "nobody", "1", "3"]) == [True, False, False, True, False]
    assert [job.name for job in queue.reserve_many(9)] == ["alive", "2", "0"]
    assert queue.requeue_many([]) == []
    assert queue.requeue_many([str(n) for n in range(1, 71)]).count(True) == 68
    assert (queue.stats().ready, queue.stats().dead) == (68, 0)


def test_requeue_many_leaves_those_whose_key_is_taken(queue: JobQueue) -> None:
    kill(queue, unique=Unique("k"))
    kill(queue, job_id="free")
    queue.enqueue("holder", unique=Unique("k"))
    assert queue.requeue_many(["1", "free"]) == [False, True]
    assert [job.id for job in queue.dead()] == ["1"]


def test_purge_dead_removes_some(queue: JobQueue) -> None:
    for _ in range(60):
        kill(queue)
    assert queue.purge_dead(["2", "4", "nobody", "2"]) == 2
    assert queue.purge_dead([]) == 0
    assert queue.stats().dead == 58
    assert queue.purge_dead([str(n) for n in range(1, 61)]) == 58


def test_stats_tell_the_time_of_the_queue(queue: JobQueue, backend: Backend) -> None:
    assert queue.stats().at.timestamp() == pytest.approx(backend.clock(), abs=0.001)


def test_purge_dead_removes_one_or_all(queue: JobQueue) -> None:
    for _ in range(3):
        kill(queue)
    assert queue.purge_dead("2") == 1
    assert queue.purge_dead("2") == 0
    assert queue.purge_dead("77") == 0
    assert [job.id for job in queue.dead()] == ["3", "1"]
    assert queue.get("2") is None
    queue.enqueue("alive")
    assert queue.purge_dead("4") == 0
    assert queue.purge_dead() == 2
    assert queue.dead() == []
    assert queue.stats().ready == 1


def test_a_released_jobs_neighbours_keep_their_place(queue: JobQueue) -> None:
    queue.enqueue_many([NewJob(name) for name in "abcd"])
    jobs = queue.reserve_many(3)
    queue.settle_many([Release(jobs[2]), Release(jobs[0])])  # the caller's order is the order in line
    assert [job.name for job in queue.reserve_many(9)] == ["c", "a", "d"]
