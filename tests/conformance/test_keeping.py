"""Pause, purge, stats, ticks and waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from svcjobs.errors import ClockSkew, InvalidJob, JobIsDead
from svcjobs.queue import Ack, Job, JobQueue, NewJob, Unique
from svcjobs.stats import TOTALS
from tests.conformance.backends import Backend
from tests.conformance.taking import take, total


def test_a_paused_queue_hands_out_nothing_on_any_worker(queue: JobQueue, sibling: JobQueue, backend: Backend) -> None:
    queue.enqueue("a")
    running = take(queue)
    queue.enqueue("b")
    queue.pause()
    queue.pause()
    assert queue.reserve_next() is None
    assert sibling.reserve_many(5) == []
    assert sibling.stats().paused
    sibling.enqueue("c")
    queue.extend(running)
    queue.ack(running)
    later = backend.open()
    assert later.reserve_next() is None
    later.resume()
    assert [job.name for job in sibling.reserve_many(5)] == ["b", "c"]
    assert not queue.stats().paused
    queue.resume()


def test_purge_removes_what_waits_and_leaves_the_rest(queue: JobQueue) -> None:
    queue.enqueue("dead")
    queue.bury(take(queue), reason="r")
    queue.enqueue("leased")
    leased = take(queue)
    queue.enqueue_many([NewJob("ready"), NewJob("low", priority=9), NewJob("delayed", delay_seconds=5)])
    assert queue.purge() == 3
    assert queue.purge() == 0
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.in_flight, stats.dead) == (0, 0, 1, 1)
    assert [queue.get(job_id) for job_id in ("3", "4", "5")] == [None, None, None]
    queue.ack(leased)


def test_the_stats_of_an_unused_queue(queue: JobQueue, backend: Backend) -> None:
    stats = queue.stats()
    assert (stats.queue, stats.ready, stats.delayed, stats.in_flight, stats.dead) == (backend.prefix, 0, 0, 0, 0)
    assert (stats.paused, stats.oldest_ready_age_seconds, stats.next_delayed_at) == (False, None, None)
    assert stats.ready_by_priority == {}
    assert stats.totals == dict.fromkeys(TOTALS, 0)


def test_the_stats_of_a_used_one(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue_many([NewJob("a"), NewJob("b", priority=2), NewJob("c", priority=2)])
    backend.advance(10)
    queue.enqueue_many([NewJob("d", delay_seconds=40), NewJob("e", delay_seconds=20)])
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.ready_by_priority) == (3, 2, {0: 1, 2: 2})
    assert stats.oldest_ready_age_seconds == pytest.approx(10, abs=0.01)
    assert stats.next_delayed_at is not None
    assert stats.next_delayed_at.timestamp() == pytest.approx(backend.clock() + 20, abs=0.001)
    take(queue)
    assert queue.stats().oldest_ready_age_seconds == pytest.approx(10, abs=0.01)
    queue.reserve_many(2)
    assert queue.stats().oldest_ready_age_seconds is None
    backend.advance(25)
    queue.promote()
    assert queue.stats().oldest_ready_age_seconds == pytest.approx(5, abs=0.01)


def test_the_totals_count_each_outcome(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue_many([NewJob("x") for _ in range(7)])
    acked, retried, buried, released, lost, exhausted = queue.reserve_many(6)
    queue.cancel("7")
    queue.ack(acked)
    queue.fail(retried)
    queue.bury(buried, reason="r")
    queue.release(released)
    exhausted.max_attempts = 1
    queue.fail(exhausted)
    queue.requeue(buried.id)
    backend.advance(31)
    queue.reclaim()
    queue.settle_many([Ack(lost)])
    queue.extend_many([lost])  # no settlement
    assert queue.stats().totals == {
        "enqueued": 7, "acked": 1, "retried": 1, "buried": 3, "released": 1, "reclaimed": 1, "requeued": 1, "stale": 1,
        "cancelled": 1,
    }  # fmt: skip


def test_p8_a_tick_is_taken_once(queue: JobQueue, sibling: JobQueue) -> None:
    assert queue.last_tick("s") is None
    first = queue.claim_tick("s", 1000.5, NewJob("x", {"a": 1}))
    assert first is not None
    assert (first.name, first.payload, first.created) == ("x", {"a": 1}, True)
    assert sibling.claim_tick("s", 1000.5, NewJob("x")) is None
    assert sibling.claim_tick("s", 999, NewJob("x")) is None
    assert sibling.last_tick("s") == 1000.5
    assert queue.stats().ready == 1
    assert take(queue).id == first.id
    assert sibling.claim_tick("s", 1001, NewJob("x")) is not None
    assert queue.claim_tick("other", 1, NewJob("x")) is not None
    assert total(queue, "enqueued") == 3


def test_p8_a_tick_far_ahead_is_refused_and_not_taken(queue: JobQueue, backend: Backend) -> None:
    now = backend.clock()
    assert queue.claim_tick("s", now + 59, NewJob("x")) is not None
    for ahead in (61, 3600):
        with pytest.raises(ClockSkew, match="NTP") as refused:
            queue.claim_tick("s", now + ahead, NewJob("x"))
        assert refused.value.ahead_seconds == pytest.approx(ahead, abs=0.001)
        assert refused.value.server_at == pytest.approx(now, abs=0.001)
    assert queue.last_tick("s") == pytest.approx(now + 59, abs=0.001)
    assert queue.stats().ready == 1
    backend.advance(10)
    assert queue.claim_tick("s", now + 61, NewJob("x")) is not None


def test_p8_a_tick_without_a_job_enqueues_nothing(queue: JobQueue) -> None:
    job = queue.claim_tick("s", 5)
    assert job is not None
    assert job.name == "s"
    assert queue.claim_tick("s", 5) is None
    assert queue.stats().ready == 0
    assert total(queue, "enqueued") == 0


def test_p8_a_tick_is_taken_when_its_job_is_still_there(queue: JobQueue) -> None:
    unique = Unique("s")
    first = queue.claim_tick("s", 1, NewJob("x", unique=unique))
    second = queue.claim_tick("s", 2, NewJob("x", unique=unique))
    assert first is not None
    assert second is not None
    assert (second.id, second.created) == (first.id, False)
    assert queue.last_tick("s") == 2
    assert queue.stats().ready == 1


def test_p8_a_tick_whose_job_is_refused_is_not_taken(queue: JobQueue) -> None:
    queue.enqueue("x", job_id="dead")
    queue.bury(take(queue), reason="r")
    with pytest.raises(InvalidJob):
        queue.claim_tick("s", 1, NewJob("x", {"a": object()}))
    with pytest.raises(JobIsDead):
        queue.claim_tick("s", 1, NewJob("x", job_id="dead"))
    assert queue.last_tick("s") is None


def test_p8_of_many_schedulers_one_takes_the_tick(queue: JobQueue, backend: Backend) -> None:
    queues = [backend.open() for _ in range(4)]
    claimed: list[object] = []

    def claim(scheduler: JobQueue) -> None:
        claimed.extend(scheduler.claim_tick("s", tick, NewJob("x")) for tick in range(25))

    threads = [threading.Thread(target=claim, args=(scheduler,)) for scheduler in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # a later tick may overtake an earlier one, so there may be fewer than 25; none twice
    assert sum(job is not None for job in claimed) == queue.stats().ready <= 25
    assert queue.last_tick("s") == 24


def waited(queue: JobQueue, seconds: float) -> float:
    """How long a wait took, in seconds."""
    started = time.monotonic()
    queue.wait(seconds)
    return time.monotonic() - started


def take_within(queue: JobQueue, seconds: float) -> Job:
    """The next job, by waiting for it as a worker does: a wait may end without a job."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if job := queue.reserve_next():
            return job
        queue.wait(left)
    pytest.fail(f"no job within {seconds} s")


@pytest.fixture
def worker(backend: Backend) -> JobQueue:
    """A queue in real time."""
    return backend.open(clock=None)


@pytest.fixture
def idle(backend: Backend) -> JobQueue:
    """Another one."""
    return backend.open(clock=None)


@pytest.mark.alone
def test_wait_returns_after_its_time_at_the_latest(worker: JobQueue) -> None:
    assert worker.reserve_next() is None
    took = [waited(worker, 0.2) for _ in range(3)]
    assert min(took) >= 0.15
    assert min(took) < 1, took


def test_wait_says_when_there_is_nothing_yet(worker: JobQueue, idle: JobQueue) -> None:
    assert idle.reserve_next() is None
    assert idle.wait(0.05)
    worker.enqueue("later", delay_seconds=3600)
    assert idle.wait(0.05)
    worker.enqueue("x")
    assert not idle.wait(1)
    take(idle)
    assert idle.wait(0.05), "it is in hand"
    worker.pause()
    worker.enqueue("y")
    idle.wait(0.05)
    assert idle.reserve_next() is None
    assert idle.wait(0.05), "nothing is handed out"


@pytest.mark.alone
def test_wait_returns_at_once_when_a_job_is_ready(worker: JobQueue, idle: JobQueue) -> None:
    worker.enqueue("x")
    took = [waited(idle, 1.9) for _ in range(3)]
    assert min(took) < 1, took


@pytest.mark.alone
@pytest.mark.parametrize("how", ["enqueue", "release", "resume", "requeue"])
def test_wait_returns_when_a_job_gets_ready(worker: JobQueue, idle: JobQueue, how: str) -> None:
    if how != "enqueue":
        worker.enqueue("x")
    job = take(worker) if how in ("release", "requeue") else None
    if how == "requeue":
        worker.bury("1", reason="r")
    if how == "resume":
        worker.pause()
    wake: dict[str, Callable[[], object]] = {
        "enqueue": lambda: worker.enqueue("x"),
        "release": lambda: worker.release(job or "1"),
        "resume": worker.resume,
        "requeue": lambda: worker.requeue("1"),
    }
    timer = threading.Timer(0.1, wake[how])
    timer.start()
    assert take_within(idle, 1.5).id == "1"
    timer.join()


@pytest.mark.alone
def test_p5_wait_returns_when_a_delayed_job_is_due(worker: JobQueue, idle: JobQueue) -> None:
    enqueued = time.monotonic()
    worker.enqueue("x", delay_seconds=0.3)
    take_within(idle, 1.5)
    assert time.monotonic() - enqueued >= 0.25  # the server goes by another clock, which may be set


@pytest.mark.alone
def test_p5_wait_returns_for_a_delayed_job_that_came_while_it_waited(worker: JobQueue, idle: JobQueue) -> None:
    timer = threading.Timer(0.1, lambda: worker.enqueue("x", delay_seconds=0.2))
    timer.start()
    take_within(idle, 1.5)
    timer.join()


@pytest.mark.alone
def test_p3_wait_returns_when_a_lease_runs_out(backend: Backend, idle: JobQueue) -> None:
    lost = backend.open(clock=None, visibility_timeout=0.3)
    lost.enqueue("x")
    take(lost)
    assert take_within(idle, 1.5).attempts == 2


def test_a_closed_queue_can_be_used_again(queue: JobQueue) -> None:
    queue.enqueue("x")
    queue.close()
    queue.close()
    assert take(queue).id == "1"
