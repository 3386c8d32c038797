"""Time limits, and which pools can enforce them."""

from __future__ import annotations

from typing import Any

import pytest

from svcjobs.errors import ConfigurationError, JobTimeoutError, SoftTimeLimitExceeded
from svcjobs.job import Job
from svcjobs.limits import Limits, limits_of
from svcjobs.pools.choice import POOLS, make_pool

JOB = Job("1", "greet", {})


@pytest.mark.parametrize("pool", [pool for pool in POOLS if pool != "prefork"])
def test_a_hard_limit_is_refused_by_pools_that_cannot_kill_one_job_alone(pool: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the pool {pool} can't enforce a hard time limit.*prefork"):
        make_pool(pool, 2, Limits(hard_seconds=5))


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_takes_a_soft_limit(pool: str) -> None:
    assert make_pool(pool, 2, Limits(soft_seconds=5)).slots.concurrency == (1 if pool in ("prefork", "solo") else 2)


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no pool 'gevent': use async, threads, prefork, solo"):
        make_pool("gevent", 1, Limits())


def test_more_jobs_at_once_than_a_report_can_hold_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="one process runs 1 to 1000 jobs at once, use more processes"):
        make_pool("async", 1001, Limits())


@pytest.mark.parametrize(
    "given",
    [
        {"soft_seconds": 0},
        {"hard_seconds": -1},
        {"timeout_seconds": float("nan")},
        {"soft_seconds": float("inf")},
        {"hard_seconds": 1e10},
    ],
)
def test_a_limit_that_is_no_positive_number_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(given))} is"):
        Limits(**given)


def test_a_hard_limit_that_would_hide_the_soft_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be above the soft one"):
        Limits(soft_seconds=10, hard_seconds=10)


def test_the_limit_that_comes_first_is_raised_in_the_handler() -> None:
    assert not Limits(hard_seconds=3).alarms(JOB)
    soft, timeout = Limits(soft_seconds=2, timeout_seconds=3).alarms(JOB)
    assert (soft[0], type(soft[1]())) == (2, SoftTimeLimitExceeded)
    assert (timeout[0], type(timeout[1]())) == (3, JobTimeoutError)
    (alone,) = Limits(soft_seconds=4, timeout_seconds=3).alarms(JOB)
    assert (alone[0], type(alone[1]())) == (3, JobTimeoutError)


@pytest.mark.parametrize(
    ("own", "defaults", "kills", "expected"),
    [
        ((None, None), Limits(1, 2, 3), True, Limits(1, 2, 3)),
        ((5, 6), Limits(1, 2, 3), True, Limits(5, 6, 3)),
        ((None, 6), Limits(1, 2, 3), True, Limits(1, 6, 3)),
        ((None, 6), Limits(8, 9), True, Limits(None, 6)),
        ((5, None), Limits(1, 2), True, Limits(None, 2)),
        ((None, 6), Limits(), False, Limits(6, None)),
        ((5, 6), Limits(), False, Limits(5, None)),
        ((None, 6), Limits(1), False, Limits(1, None)),
    ],
)
def test_a_job_has_its_own_limits_else_those_of_its_worker(
    own: tuple[float | None, float | None], defaults: Limits, kills: bool, expected: Limits
) -> None:
    job = Job("1", "greet", {}, soft_time_limit_seconds=own[0], time_limit_seconds=own[1])
    assert limits_of(job, defaults, kills=kills) == expected
