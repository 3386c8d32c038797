"""Time limits in children: soft ones in each pool, hard ones where a process can be killed."""

from __future__ import annotations

import itertools
import signal
import time

import pytest

from svcjobs.queue import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.child_fixtures import Start, queue, start

__all__ = ["queue", "start"]


@pytest.mark.parametrize("name", ["asleep", "blocking"])
@pytest.mark.parametrize("pool", ["async", "threads", "prefork", "solo"])
def test_a_soft_limit_is_raised_in_the_handler(pool: str, name: str, start: Start, queue: RedisJobQueue) -> None:
    child = start(pool, limits={"soft_seconds": 0.5})
    job = queue.enqueue(name, {"seconds": 20})
    child.noted(f"{name} {job.id} soft limit")
    eventually(lambda: queue.stats().totals["retried"] == 1)
    stored = queue.get(job.id)
    assert stored is not None
    assert stored.last_error == f"SoftTimeLimitExceeded: Job {name} exceeded its soft time limit of 0.5 s"
    # one that cleans up and ends has succeeded, and the next job is left alone
    tidy = queue.enqueue(name, {"seconds": 20, "go_on": True})
    child.noted(f"{name} {tidy.id} soft limit")
    queue.enqueue("note", {"n": "next"})
    child.noted("note next")
    eventually(lambda: queue.stats().totals["acked"] == 2)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_loop_that_never_waits_gets_its_soft_limit_too(pool: str, start: Start, queue: RedisJobQueue) -> None:
    start(pool, limits={"soft_seconds": 0.5})
    queue.enqueue("spin")
    eventually(lambda: queue.stats().totals["retried"] == 1)


@pytest.mark.parametrize("pool", ["async", "threads", "prefork"])
@pytest.mark.parametrize("name", ["asleep", "blocking"])
def test_the_default_timeout_fails_a_job(pool: str, name: str, start: Start, queue: RedisJobQueue) -> None:
    start(pool, limits={"timeout_seconds": 0.5})
    job = queue.enqueue(name, {"seconds": 5})
    eventually(lambda: queue.stats().totals["retried"] == 1)
    stored = queue.get(job.id)
    assert stored is not None
    assert stored.last_error == f"JobTimeoutError: Job {name} exceeded timeout of 0.5s"


@pytest.mark.parametrize(
    ("pool", "name"),
    [("async", "stubborn_asleep"), *itertools.product(["threads", "prefork", "solo"], ["stubborn", "stubborn_asleep"])],
)
def test_one_that_outlives_its_soft_limit_meets_the_default_timeout(
    pool: str, name: str, start: Start, queue: RedisJobQueue
) -> None:
    child = start(pool, limits={"soft_seconds": 0.5, "timeout_seconds": 2.5})
    job = queue.enqueue(name, {"seconds": 20})
    child.noted(f"{name} {job.id} soft limit")
    eventually(lambda: queue.stats().totals["retried"] == 1)
    stored = queue.get(job.id)
    assert stored is not None
    assert stored.last_error == f"JobTimeoutError: Job {name} exceeded timeout of 2.5s"
    # what comes in time is left alone
    tidy = queue.enqueue(name, {"seconds": 0})
    child.noted(f"{name} {tidy.id} soft limit")
    queue.enqueue("blocking", {"seconds": 0.7, "go_on": True})
    eventually(lambda: queue.stats().totals["acked"] == 2)


@pytest.mark.alone
@pytest.mark.scenario(20)
@pytest.mark.parametrize("name", ["spin", "asleep", "hold_gil"])
def test_scenario_20_at_its_hard_limit_a_job_dies_alone(name: str, start: Start, queue: RedisJobQueue) -> None:
    other = start("prefork", limits={"hard_seconds": 30})
    bystander = queue.enqueue("blocking", {"seconds": 5})
    other.noted(f"blocking {bystander.id} begins in True")
    child = start("prefork", limits={"hard_seconds": 2})
    job = queue.enqueue(name, {"seconds": 20})
    begun = child.noted(f"{name} {job.id} begins")
    code = child.ends()
    # a handler that holds the GIL can't be failed by this process: it just ends, and the keeper knows what it ran
    assert time.time() - begun <= (3.2 if name == "hold_gil" else 3)
    assert code == (1 if name == "hold_gil" else -signal.SIGKILL)
    stored = queue.get(job.id)
    assert stored is not None
    if name != "hold_gil":
        assert stored.last_error == f"TimeLimitExceeded: Job {name} exceeded its hard time limit of 2 s"
        assert stored.attempts == 1
        assert queue.stats().totals["retried"] == 1
    other.noted(f"blocking {bystander.id} ends")


def test_a_hard_limit_does_not_touch_jobs_within_it(start: Start, queue: RedisJobQueue) -> None:
    child = start("prefork", limits={"hard_seconds": 3})
    for n in range(4):
        queue.enqueue("blocking", {"seconds": 0.8})
        queue.enqueue("note", {"n": n})
    child.noted("note 3")
    eventually(lambda: queue.stats().totals["acked"] == 8)
    assert child.process.poll() is None


@pytest.mark.parametrize("pool", ["async", "threads", "prefork"])
def test_a_job_may_carry_limits_of_its_own(pool: str, start: Start, queue: RedisJobQueue) -> None:
    child = start(pool, limits={"soft_seconds": 30})
    soft = queue.enqueue_many([NewJob("blocking", {"seconds": 20}, soft_time_limit_seconds=0.3)])[0]
    child.noted(f"blocking {soft.id} soft limit")
    hard = queue.enqueue_many([NewJob("blocking", {"seconds": 20}, time_limit_seconds=0.6)])[0]
    if pool == "prefork":
        assert child.ends() == -signal.SIGKILL
    else:
        child.noted(f"blocking {hard.id} soft limit")
    eventually(lambda: queue.stats().totals["retried"] == 2)
