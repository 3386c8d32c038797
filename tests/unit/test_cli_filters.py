"""Which jobs a filter takes, and how all jobs of a queue are met while it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from svcjobs.cli.filters import Filter, Span
from svcjobs.cli.sweeps import PAGE, sweep_dead, sweep_delayed, sweep_living
from svcjobs.clock import MovableClock
from svcjobs.job import Job, NewJob
from svcjobs.queue import InMemoryJobQueue

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DEAD = Job(
    "1", "send_mail", {}, last_error="ReadTimeout: no answer", reason="exhausted",
    available_at=NOW - timedelta(days=9), dead_at=NOW - timedelta(hours=2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "takes"),
    [
        (Filter(), True),
        (Filter(name="send_*"), True),
        (Filter(name="send"), False),
        (Filter(name="SEND_*"), False),
        (Filter(name="*[mn]ail"), True),
        (Filter(error="timeout"), True),
        (Filter(error="refused"), False),
        (Filter(reason="exhausted"), True),
        (Filter(reason="exhaust"), False),
        (Filter(older_seconds=7200), True),
        (Filter(older_seconds=7201), False),
        (Filter(newer_seconds=7200), True),
        (Filter(newer_seconds=7199), False),
        (Filter(name="send_*", error="timeout", reason="exhausted", older_seconds=1, newer_seconds=9999), True),
        (Filter(name="send_*", error="timeout", reason="corrupt"), False),
    ],
)
def test_a_filter_takes_what_fits_all_of_it(chosen: Filter, takes: bool) -> None:
    assert chosen.matches(DEAD, NOW) is takes


def test_the_age_of_a_job_that_lives_is_how_long_it_has_been_due() -> None:
    waits = Job("1", "x", {}, available_at=NOW - timedelta(minutes=5))
    later = Job("2", "x", {}, available_at=NOW + timedelta(minutes=5))
    assert Filter(older_seconds=300).matches(waits, NOW)
    assert not Filter(older_seconds=0).matches(later, NOW)
    assert not Filter(error="x").matches(waits, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604800), ("1w", 604800)]
)
def test_a_span_has_a_unit(text: str, seconds: float) -> None:
    assert Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1y", "two", "1 h", "inf"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        Span().convert(text, None, None)


def kill(queue: InMemoryJobQueue, count: int, name: str = "x") -> None:
    queue.enqueue_many([NewJob(name)] * count)
    for job in queue.reserve_many(count):
        queue.bury(job, reason="bad")


def test_each_dead_job_is_met_once_although_more_die_and_what_is_requeued_dies_again() -> None:
    queue, met = InMemoryJobQueue(), []
    kill(queue, 3 * PAGE)

    def act(page: list[Job]) -> int:
        met.extend(job.id for job in page)
        requeued = queue.requeue_many([job.id for job in page if int(job.id) % 2])
        for job in queue.reserve_many(PAGE):
            queue.bury(job, reason="again")
        kill(queue, 7, "newer")
        return sum(requeued)

    sweep_dead(queue, act)
    assert met == [str(number) for number in range(1, 3 * PAGE + 1)]


def test_the_dead_are_met_although_somebody_else_empties_the_queue() -> None:
    queue = InMemoryJobQueue()
    kill(queue, 3 * PAGE)
    sweep_dead(queue, lambda page: queue.purge_dead() and len(page))
    assert queue.stats().dead == 0


def test_each_living_job_is_met_although_workers_take_some() -> None:
    clock = MovableClock()
    queue, met = InMemoryJobQueue(clock=clock), set()
    queue.enqueue_many([NewJob("ready")] * (2 * PAGE) + [NewJob("due", delay_seconds=5)] * (PAGE + 50))

    def act(page: list[Job]) -> int:
        met.update(job.id for job in page)
        clock.advance(5)
        queue.reserve_many(30)
        return 0

    sweep_living(queue, act)
    assert len(met) == 3 * PAGE + 50


def test_what_waits_for_a_retry_only_since_is_met_by_a_second_sweep() -> None:
    queue, met = InMemoryJobQueue(), []
    queue.enqueue("x")
    job = queue.reserve_next()
    assert job is not None

    def act(page: list[Any]) -> int:
        met.extend(job.id for job in page)
        return 0

    sweep_delayed(queue, act)
    assert met == []
    queue.fail(job)
    sweep_delayed(queue, act)
    assert met == ["1"]
