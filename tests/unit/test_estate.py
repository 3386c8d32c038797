"""What a keeper does with the jobs of a dead child."""

from __future__ import annotations

import pytest

from svcjobs.clock import MovableClock
from svcjobs.estate import Estate
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.reports import HeldJob
from svcjobs.running_table import HardLimit, mark_of


def marks(*jobs: Job) -> frozenset[int]:
    return frozenset(mark_of(job.id, job.lease or "") for job in jobs)


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue(clock=MovableClock(1000.0))


def leased(queue: InMemoryJobQueue, count: int) -> list[Job]:
    for number in range(count):
        queue.enqueue("work", job_id=f"{number}", max_attempts=3)
    return queue.reserve_many(count)


def settle(queue: InMemoryJobQueue, estate: Estate) -> None:
    estate.settle({queue.name: queue})


def held(*jobs: Job) -> list[HeldJob]:
    return [HeldJob.of(job) for job in jobs]


def test_one_that_ran_alone_is_charged_and_the_rest_is_not(queue: InMemoryJobQueue) -> None:
    ran, waited = leased(queue, 2)
    settle(queue, Estate(1, held(ran, waited), marks(ran)))
    again = {job.id: job.attempts for job in queue.reserve_many(2)}
    assert again == {ran.id: 2, waited.id: 1}
    assert queue.stats().totals["reclaimed"] == 1


def test_of_several_that_ran_each_is_a_suspect_uncharged(queue: InMemoryJobQueue) -> None:
    one, other, waited = leased(queue, 3)
    settle(queue, Estate(1, held(one, other, waited), marks(one, other)))
    again = {job.id: (job.attempts, job.suspect) for job in queue.reserve_many(3)}
    assert again == {one.id: (1, True), other.id: (1, True), waited.id: (1, False)}


def test_a_suspect_whose_turn_had_not_come_stays_one(queue: InMemoryJobQueue) -> None:
    ran, waited = leased(queue, 2)
    settle(queue, Estate(1, [job._replace(suspect=True) for job in held(ran, waited)], marks(ran)))
    again = {job.id: (job.attempts, job.suspect) for job in queue.reserve_many(2)}
    assert again[waited.id] == (1, True)
    assert again[ran.id][0] == 2


def test_what_was_done_is_acked_once(queue: InMemoryJobQueue) -> None:
    done, settled, ran = leased(queue, 3)
    queue.ack(settled)  # the child has, and died before it could report that
    estate = Estate(1, held(done, settled, ran), marks(ran), done=marks(done, settled))
    for _ in range(2):  # by another keeper as well
        settle(queue, estate)
    totals = queue.stats().totals
    assert (totals["acked"], totals["reclaimed"], totals["stale"]) == (2, 1, 0)
    assert [job.id for job in queue.reserve_many(3)] == [ran.id]


@pytest.mark.parametrize("at_once", [False, True])
def test_one_over_its_hard_limit_has_failed_by_that(queue: InMemoryJobQueue, at_once: bool) -> None:
    ran, waited = leased(queue, 2)
    estate = Estate(1, held(ran, waited), marks(ran), limit=HardLimit(2.5, 0, at_once))
    for _ in range(2):
        settle(queue, estate)
    stored = queue.get(ran.id)
    assert stored is not None
    assert stored.last_error == "TimeLimitExceeded: Job work exceeded its hard time limit of 2.5 s"
    assert stored.attempts == 1
    totals = queue.stats().totals
    assert (totals["retried"], totals["reclaimed"], totals["stale"]) == (1, 0, 0)
    assert {job.id for job in queue.reserve_many(2)} == ({ran.id, waited.id} if at_once else {waited.id})
