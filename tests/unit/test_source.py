"""A queue as a child uses it: what is fetched again, what is settled again, and what is passed on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.settlement import Ack, Fail, Outcome, Settlement
from svcjobs.source import Source
from svcjobs.stats import QueueStats
from tests.eventually import eventually


class Flaky(InMemoryJobQueue):
    """A queue whose calls fail as long as there are failures left."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []
        self.spoilt: set[str] = set()
        self.asked: list[int] = []
        self.answers_after_seconds = 0.0
        self.batches: list[list[str]] = []
        self.is_silent = threading.Event()
        self.looks = 0
        self.is_waited_for = threading.Event()

    def wait(self, seconds: float) -> None:
        self.is_waited_for.set()
        super().wait(seconds)

    def stats(self) -> QueueStats:
        self.looks += 1
        if self.is_silent.is_set():
            raise QueueUnavailable("away")
        return super().stats()

    def reserve_many(self, limit: int, **options: Any) -> list[Job]:
        self.asked.append(limit)
        if self.failures:
            raise self.failures.pop()
        jobs = super().reserve_many(limit, **options)
        time.sleep(self.answers_after_seconds)
        return jobs

    def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        if settlements:
            self.batches.append([settlement.job.id for settlement in settlements])
        if self.failures:
            raise self.failures.pop()
        if self.spoilt & {settlement.job.id for settlement in settlements}:
            raise ValueError("bad effect")
        return super().settle_many(settlements)


class Settled:
    """What came of settlements, and the source that they went to."""

    def __init__(self) -> None:
        self.queue = Flaky()
        self.woken = threading.Event()
        self.outcomes: list[tuple[str, Outcome | None]] = []
        self.source = Source(self.queue, self.woken.set, self._settled)

    def _settled(self, settlement: Settlement, outcome: Outcome | None) -> None:
        self.outcomes.append((settlement.job.id, outcome))

    def reserve(self, count: int) -> list[Job]:
        for n in range(count):
            self.queue.enqueue("greet", job_id=f"job{n}")
        return self.source.fetch(count, lowest_first=False)


def test_a_settlement_waits_for_a_server_that_is_away() -> None:
    settled = Settled()
    (job,) = settled.reserve(1)
    settled.queue.failures = [QueueUnavailable("away")]
    settled.source.add(Ack(job))
    settled.source.settle()
    assert (settled.source.backlog, settled.outcomes) == (1, [])
    assert not settled.source.is_hot

    def settles() -> bool:
        settled.source.settle()
        return settled.source.backlog == 0

    eventually(settles)
    assert settled.outcomes == [("job0", Outcome.ACKED)]


def test_one_bad_settlement_costs_no_other_its_own(caplog: pytest.LogCaptureFixture) -> None:
    settled = Settled()
    jobs = settled.reserve(5)
    settled.queue.spoilt = {jobs[2].id}
    for job in jobs:
        settled.source.add(Ack(job))
    settled.source.settle()
    assert settled.source.backlog == 0
    assert dict(settled.outcomes) == {job.id: None if job is jobs[2] else Outcome.ACKED for job in jobs}
    assert "can't be settled" in caplog.text


def test_a_batch_stays_as_it_is_until_the_server_answers() -> None:
    settled = Settled()
    jobs = settled.reserve(4)
    settled.queue.failures = [QueueUnavailable("away")]
    settled.source.add(Ack(jobs[0]))
    settled.source.add(Fail(jobs[1], "no"))
    settled.source.settle()
    settled.source.add(Ack(jobs[2]))
    settled.source.add(Ack(jobs[3]))
    assert settled.source.backlog == 4
    eventually(lambda: settled.source.is_hot)
    settled.source.settle()
    first, repeated, *rest = settled.queue.batches
    assert first == repeated == ["job0"]
    assert sorted(rest) == [["job1"], ["job2", "job3"]]
    assert settled.source.backlog == 0


def test_after_a_short_fetch_a_thread_watches_and_wakes() -> None:
    settled = Settled()
    settled.source.open()
    assert settled.source.is_hot
    assert settled.source.fetch(3, lowest_first=False) == []
    assert not settled.source.is_hot
    settled.queue.enqueue("greet")
    assert settled.woken.wait(20)
    assert settled.source.is_hot


def test_a_wake_up_for_a_queue_that_was_left_is_passed_on_and_it_can_be_taken_up_again() -> None:
    settled = Settled()
    settled.source.open()
    settled.source.fetch(3, lowest_first=False)
    assert settled.queue.is_waited_for.wait(20)
    settled.source.is_closed = True
    settled.queue.enqueue("greet")
    eventually(lambda: settled.queue.asked == [3, 0])
    assert settled.woken.wait(20)
    assert not settled.source.is_hot
    settled.source.is_closed = False
    assert settled.source.is_hot
    assert len(settled.source.fetch(3, lowest_first=False)) == 1


def test_after_a_full_fetch_there_may_be_more() -> None:
    settled = Settled()
    assert len(settled.reserve(2)) == 2
    assert settled.source.is_hot


def test_a_wake_up_is_passed_on_once_until_the_next_fetch() -> None:
    settled = Settled()
    settled.source.pass_on()
    settled.source.pass_on()
    assert settled.queue.asked == [0]
    settled.source.fetch(1, lowest_first=False)
    settled.source.pass_on()
    assert settled.queue.asked == [0, 1, 0]


def test_a_closed_source_passes_on_the_wake_up_that_it_still_got() -> None:
    settled = Settled()
    settled.source.open()
    settled.source.fetch(3, lowest_first=False)
    assert settled.queue.is_waited_for.wait(20)
    settled.source.close()
    settled.queue.enqueue("greet")
    settled.source.join()
    assert settled.queue.asked == [3, 0]
    assert not settled.woken.is_set()


def test_a_failed_fetch_is_no_error_but_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    settled = Settled()
    settled.queue.failures = [RuntimeError("bug")]
    assert settled.source.fetch(1, lowest_first=False) == []
    assert not settled.source.is_hot
    assert "trying again: bug" in caplog.text
    eventually(lambda: settled.source.is_hot)


def test_a_server_that_is_away_costs_the_callers_thread_one_call() -> None:
    """That one may take seconds, which the other queues of the thread would wait for."""
    settled = Settled()
    (job,) = settled.reserve(1)
    settled.queue.failures = [QueueUnavailable("away")]
    settled.queue.is_silent.set()
    settled.source.add(Ack(job))
    settled.source.settle()
    eventually(lambda: settled.queue.looks > 2, message="a thread asks")
    for _ in range(3):
        settled.source.settle()
    assert settled.queue.batches == [["job0"]]
    assert not settled.woken.is_set()
    settled.queue.is_silent.clear()
    assert settled.woken.wait(20)
    settled.source.settle()
    assert settled.outcomes == [("job0", Outcome.ACKED)]


def test_jobs_whose_answer_comes_late_are_given_back_unstarted() -> None:
    settled = Settled()
    settled.queue._visibility_timeout = 0.3
    settled.queue.answers_after_seconds = 0.25
    assert settled.reserve(2) == []
    settled.source.settle()
    assert settled.outcomes == [("job0", Outcome.RELEASED), ("job1", Outcome.RELEASED)]
    settled.queue.answers_after_seconds = 0.0
    assert [job.attempts for job in settled.queue.reserve_many(2)] == [1, 1]  # uncharged


def test_the_answer_to_a_fetch_that_nobody_heard_counts_from_that_fetch() -> None:
    settled = Settled()
    settled.queue._visibility_timeout = 0.6
    settled.queue.failures = [QueueUnavailable("away")]
    assert settled.reserve(1) == []
    settled.woken.wait(20)
    time.sleep(0.45)
    assert settled.source.fetch(1, lowest_first=False) == []
    settled.source.settle()
    assert settled.outcomes == [("job0", Outcome.RELEASED)]
    assert [job.id for job in settled.source.fetch(1, lowest_first=False)] == ["job0"]
