"""A consumer whose queues change while it runs, and which leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from svcjobs.application import as_application
from svcjobs.consumer import Consumer
from svcjobs.hooks import Hooks
from svcjobs.job import Job, NewJob
from svcjobs.keeping import OwnLeases
from svcjobs.limits import Limits
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.pools.slots import Lease, lease_of
from svcjobs.pools.thread_pool import ThreadPool
from svcjobs.recycling import Recycling
from svcjobs.settlement import Outcome, Settlement
from tests.eventually import eventually

seen: list[str] = []


def handle(job: Job) -> None:
    seen.append(f"{job.queue} {job.name}")


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue(name="jobs:{first}")


class Holding:
    """An application that knows of the jobs that its child holds, and runs them until :attr:`go_on`."""

    def __init__(self) -> None:
        self.held: set[Lease] = set()
        self.begun: list[Lease] = []
        self.go_on = threading.Event()

    def __call__(self, job: Job) -> None:
        self.begun.append(lease_of(job))
        assert self.go_on.wait(20)

    def reserved(self, jobs: Sequence[Job]) -> Sequence[Settlement]:
        self.held.update(lease_of(job) for job in jobs)
        return ()

    def settled(self, settlement: Settlement, _outcome: Outcome | None) -> None:
        self.held.discard(lease_of(settlement.job))


@contextmanager
def consuming(consumer: Consumer, pool: ThreadPool, handler: Callable[[Job], object]) -> Iterator[None]:
    pool.ended = consumer.ended

    def consume() -> None:
        consumer.run()
        pool.stop()

    io = threading.Thread(target=consume)
    running = threading.Thread(target=pool.run, args=[as_application(handler), io.start])
    before = set(threading.enumerate())
    running.start()
    yield
    consumer.stop(1)
    for thread in (running, io):
        thread.join(10)
    consumer.join()
    eventually(lambda: not {thread for thread in threading.enumerate() if "svcjobs" in thread.name} - before)


@pytest.fixture
def consumer(queue: InMemoryJobQueue) -> Iterator[Consumer]:
    seen.clear()
    pool = ThreadPool(2, Limits())
    consumer = Consumer([queue], pool, OwnLeases([queue]), Recycling())
    with consuming(consumer, pool, handle):
        yield consumer


def test_jobs_are_taken_from_a_queue_that_comes_later(consumer: Consumer, queue: InMemoryJobQueue) -> None:
    later = InMemoryJobQueue(name="jobs:{later}")
    later.enqueue("waits")
    queue.enqueue("first")
    eventually(lambda: seen == ["jobs:{first} first"])
    consumer.take_from(later)
    eventually(lambda: "jobs:{later} waits" in seen)
    later.enqueue("next")
    eventually(lambda: "jobs:{later} next" in seen)
    eventually(lambda: later.stats().in_flight == 0)


def test_no_jobs_are_taken_from_a_queue_that_was_left(consumer: Consumer, queue: InMemoryJobQueue) -> None:
    other = InMemoryJobQueue(name="jobs:{other}")
    consumer.take_from(other)
    consumer.leave(queue.name)
    other.enqueue("taken")
    eventually(lambda: seen == ["jobs:{other} taken"])
    queue.enqueue("left")
    other.enqueue("taken too")
    eventually(lambda: len(seen) == 2)
    assert queue.stats().ready == 1
    consumer.take_from(queue)
    eventually(lambda: "jobs:{first} left" in seen)


def test_an_application_is_told_of_each_job_whose_lease_was_lost(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svcjobs.consumer.OVERRUN_SECONDS", 60)  # so that what waits isn't given back
    application = Holding()
    pool = ThreadPool(1, Limits())
    consumer = Consumer([queue], pool, OwnLeases([queue]), Recycling(), hooks=Hooks(application))
    with consuming(consumer, pool, application):
        application.go_on.set()
        queue.enqueue("work")
        eventually(lambda: queue.stats().totals["acked"] == 1)  # now it fetches ahead
        application.go_on.clear()
        application.begun.clear()
        queue.enqueue_many([NewJob("work"), NewJob("work")])
        eventually(lambda: len(application.held) == 2 and application.begun)
        [runs] = application.begun
        [waits] = application.held - {runs}
        consumer.lose(waits)
        consumer.lose(runs)  # a thread can't be cancelled: it runs on, for nothing
        eventually(lambda: application.held == {runs})
        application.go_on.set()
        eventually(lambda: not application.held)
    assert queue.stats().in_flight == 2, "neither was settled"


def test_an_application_is_told_of_a_suspect_that_lost_its_lease_before_its_turn(queue: InMemoryJobQueue) -> None:
    queue.enqueue_many([NewJob("work"), NewJob("work")])
    for job in [queue.reserve_next(), queue.reserve_next()]:
        assert job is not None
        queue.release(job, suspect=True)
    application = Holding()
    pool = ThreadPool(2, Limits())
    consumer = Consumer([queue], pool, OwnLeases([queue]), Recycling(), hooks=Hooks(application))
    with consuming(consumer, pool, application):
        eventually(lambda: len(application.held) == 2 and application.begun)
        [runs] = application.begun  # alone
        consumer.lose(*(application.held - {runs}))
        application.go_on.set()
        eventually(lambda: not application.held)
    assert queue.stats().in_flight == 1
    assert application.begun == [runs]


class Slow(InMemoryJobQueue):
    """A queue whose server answers a reserve that finds something late."""

    def __init__(self) -> None:
        super().__init__(name="jobs:{slow}")
        self.fetched_by: list[str] = []
        self.asked: list[int] = []
        self.answers = threading.Event()

    def reserve_many(self, limit: int, *, verdicts: bool = False, lowest_first: bool = False) -> list[Job]:
        self.asked.append(limit)
        jobs = super().reserve_many(limit, verdicts=verdicts, lowest_first=lowest_first)
        if jobs:
            self.fetched_by.append(threading.current_thread().name)
            assert self.answers.wait(20)
        return jobs


def test_the_thread_that_waited_fetches_and_a_stop_meanwhile_loses_nothing() -> None:
    seen.clear()
    slow = Slow()
    pool = ThreadPool(2, Limits())
    consumer = Consumer([slow], pool, OwnLeases([slow]), Recycling())
    with consuming(consumer, pool, handle):
        eventually(lambda: not consumer._sources[slow.name].is_hot, message="it waits")
        slow.enqueue("work", job_id="a")
        eventually(lambda: slow.fetched_by == ["svcjobs-wait-jobs:{slow}"])
        consumer.stop(0)
        slow.answers.set()
    job = slow.get("a")
    assert job is None or (slow.stats().ready, job.attempts) == (1, 0)
    assert slow.stats().in_flight == 0
    assert seen == (["jobs:{slow} work"] if job is None else [])


def test_a_wake_up_that_comes_during_a_stop_is_passed_on() -> None:
    """Another worker would sleep on, for two seconds, beside a job that is ready."""
    slow = Slow()
    slow.answers.set()
    application = Holding()
    pool = ThreadPool(2, Limits())
    consumer = Consumer([slow], pool, OwnLeases([slow]), Recycling(), hooks=Hooks(application))
    with consuming(consumer, pool, application):
        slow.enqueue("runs on")
        eventually(lambda: application.begun)
        eventually(lambda: not consumer._sources[slow.name].is_hot, message="it waits for a second one")
        consumer.stop(20)
        slow.enqueue("for another worker")
        eventually(lambda: slow.asked[-1] == 0)
        application.go_on.set()
    assert slow.stats().ready == 1


class Busy:
    """A source that always has a job."""

    is_hot = True

    def __init__(self) -> None:
        self.reversed: list[bool] = []

    def fetch(self, limit: int, *, lowest_first: bool) -> list[Job]:
        self.reversed.append(lowest_first)
        return [Job(str(len(self.reversed)), "work", {}, queue="jobs:{first}", lease="1-x")] if limit else []


@pytest.mark.parametrize("first", [1, 2])
def test_the_tenth_fetch_is_a_reversed_one_also_when_each_turn_has_two(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    keeping = OwnLeases([queue])
    monkeypatch.setattr(keeping, "hold", lambda jobs: None)
    consumer = Consumer([queue], ThreadPool(2, Limits()), keeping, Recycling())
    source = Busy()
    monkeypatch.setattr(consumer, "_sources", {"jobs": source})
    monkeypatch.setattr(consumer, "_room", lambda: int(len(source.reversed) != first))  # the first turn ends there
    monkeypatch.setattr(consumer._pool, "start", lambda jobs: None)
    monkeypatch.setattr(source, "pass_on", lambda: None, raising=False)
    consumer._fetch()
    monkeypatch.setattr(consumer, "_room", lambda: 1)
    for _ in range(50):
        consumer._fetch()
    pattern = "".join("r" if one else "f" for one in source.reversed)
    assert set(map(len, pattern.replace("rr", "r").split("r")[:-1])) <= {9, 10}
    assert pattern.count("r") >= 10
