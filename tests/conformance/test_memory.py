"""What only the queue in memory does: stored Jobs that can be edited, shared servers, costs."""

from __future__ import annotations

import threading
import time

import pytest

from svcjobs.clock import MovableClock
from svcjobs.errors import ConfigurationError
from svcjobs.memory_server import MemoryServer
from svcjobs.queue import InMemoryJobQueue, JobQueue, NewJob, Outcome
from tests.conformance.taking import stored, take


def test_the_job_of_an_enqueue_is_the_stored_one_and_can_be_edited() -> None:
    queue = InMemoryJobQueue()
    job = queue.enqueue("x")
    job.max_attempts = 1
    job.backoff_seconds = 7
    reserved = take(queue)
    assert (reserved.max_attempts, reserved.backoff_seconds) == (1, 7)
    assert queue.fail(job.id, error="e") is Outcome.BURIED
    assert job.last_error == "e"
    assert job.reason == "exhausted"


def test_an_edit_while_the_job_runs_counts_unless_the_handler_changed_it_too() -> None:
    queue = InMemoryJobQueue()
    job = queue.enqueue("x")
    take(queue)
    job.max_attempts = 1
    assert queue.fail("1") is Outcome.BURIED
    job = queue.enqueue("y")
    reserved = take(queue)
    job.max_attempts = 1
    reserved.max_attempts = 9
    assert queue.fail(reserved) is Outcome.RETRIED


def test_a_reserved_job_is_a_copy() -> None:
    queue = InMemoryJobQueue()
    job = queue.enqueue("x", {"a": []}, headers={"h": "v"})
    reserved = take(queue)
    reserved.payload["a"].append(1)
    reserved.headers["h"] = "w"
    reserved.attempts = 99
    reserved.history.append({})
    assert (job.attempts, job.headers, job.lease) == (1, {"h": "v"}, None)
    assert stored(queue, "1").payload == {"a": []}
    assert stored(queue, "1").history == []


def test_queues_without_a_common_server_share_nothing() -> None:
    first, second = InMemoryJobQueue(), InMemoryJobQueue()
    first.enqueue("x")
    assert second.reserve_next() is None
    assert second.enqueue("y").id == "1"


def test_queues_of_one_server_are_told_apart_by_name() -> None:
    server = MemoryServer()
    a, b, again = (InMemoryJobQueue(server=server, name=name) for name in ("a", "b", "a"))
    a.enqueue("x")
    assert b.reserve_next() is None
    assert take(again).queue == "a"


@pytest.mark.parametrize("options", [{"name": ""}, {"visibility_timeout": 0}, {"visibility_timeout": -1}])
def test_a_bad_setting_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        InMemoryJobQueue(**options)  # type: ignore[arg-type]


def cycle_seconds(*queues: JobQueue, cycles: int = 500) -> list[float]:
    """The least time of some rounds of enqueue, reserve and ack on each, measured in turn."""
    least = [float("inf")] * len(queues)
    for _ in range(12):
        for number, queue in enumerate(queues):
            started = time.perf_counter()
            for _ in range(cycles):
                queue.enqueue("x")
                queue.ack(take(queue))
            least[number] = min(least[number], time.perf_counter() - started)
    return least


@pytest.mark.alone
def test_many_delayed_and_leased_jobs_dont_slow_the_others() -> None:
    empty, full = InMemoryJobQueue(), InMemoryJobQueue()
    full.enqueue_many([NewJob("leased") for _ in range(20_000)])
    full.reserve_many(20_000)
    full.enqueue_many([NewJob("later", delay_seconds=1000 + n) for n in range(80_000)])
    of_full, of_empty = cycle_seconds(full, empty)
    assert of_full < 3 * of_empty
    assert full.stats().delayed == 80_000


def test_extending_for_ever_takes_no_memory() -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("x")
    job = take(queue)
    for _ in range(10_000):
        clock.advance(20)
        queue.extend(job)
    assert len(queue._store._leases) < 200


def test_threads_share_a_queue_and_lose_nothing() -> None:
    queue = InMemoryJobQueue()
    done: list[str] = []

    def produce() -> None:
        for _ in range(250):
            queue.enqueue("x")

    def consume() -> None:
        while len(done) < 1000:
            if job := queue.reserve_next():
                queue.ack(job)
                done.append(job.id)
            else:
                queue.wait(0.05)

    threads = [threading.Thread(target=target) for target in [produce] * 4 + [consume] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done, key=int) == [str(n) for n in range(1, 1001)]
    assert queue.stats().totals["acked"] == 1000


def wake_up_seconds() -> float:
    """From the enqueue of a job to the end of a wait for it."""
    queue = InMemoryJobQueue()
    woken: list[float] = []

    def wait() -> None:
        queue.wait(5)
        woken.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)  # nothing tells from outside that the thread waits
    enqueued = time.monotonic()
    queue.enqueue("x")
    thread.join()
    return woken[0] - enqueued


def test_a_waiting_worker_is_woken_within_milliseconds() -> None:
    assert min(wake_up_seconds() for _ in range(5)) < 0.2
