"""How many jobs a child holds ahead."""

from __future__ import annotations

import pytest

from svcjobs.prefetch import Prefetch


def after(*seconds: float, most_jobs: int = 1000) -> Prefetch:
    prefetch = Prefetch(most_jobs)
    for run in seconds:
        prefetch.ended(run)
    return prefetch


def test_before_any_job_has_ended_only_free_slots_are_filled() -> None:
    assert Prefetch().room(4, running=1, waiting=0) == 3


def test_short_jobs_are_held_ahead_for_20_ms_of_work() -> None:
    assert after(0.002).ahead == 10
    assert after(0.002).room(1, running=1, waiting=0) == 10
    assert after(0.002).room(4, running=0, waiting=0) == 14


@pytest.mark.parametrize("seconds", [0.021, 1.0, 3600.0])
def test_long_jobs_are_never_held_ahead(seconds: float) -> None:
    assert after(seconds).ahead == 0
    assert after(seconds).room(3, running=3, waiting=0) == 0


def test_jobs_that_take_no_time_are_bounded_by_what_a_report_holds() -> None:
    assert after(0.0).room(1, running=1, waiting=0) == 999
    assert after(0.0, most_jobs=50).room(1, running=1, waiting=0, unsettled=40) == 9


def test_more_are_asked_for_when_half_is_gone() -> None:
    prefetch = after(0.001)
    assert prefetch.room(1, running=1, waiting=11) == 0
    assert prefetch.room(1, running=1, waiting=10) == 10


def test_one_long_run_counts_at_once_and_short_ones_gradually() -> None:
    prefetch = after(*[0.001] * 50)
    assert prefetch.ahead == 20
    prefetch.ended(1.0)
    assert prefetch.ahead == 0
    for _ in range(10):
        prefetch.ended(0.001)
    assert prefetch.ahead == 0
    for _ in range(40):
        prefetch.ended(0.001)
    assert prefetch.ahead > 0


def test_after_an_overrun_nothing_is_held_ahead() -> None:
    prefetch = after(0.001)
    prefetch.overran()
    assert prefetch.ahead == 0
    unknown = Prefetch()
    unknown.overran()
    assert unknown.ahead == 0
