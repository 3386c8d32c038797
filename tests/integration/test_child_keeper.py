"""Children with their supervisor and keeper: leases, deaths, hard limits and recycling, with all parts real."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis

from svcjobs.queue import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.child_fixtures import Start, queue, start

__all__ = ["queue", "start"]

LEASE = 2.0


@pytest.mark.promise("P4")
@pytest.mark.parametrize("pool", ["async", "threads", "prefork"])
def test_a_handler_that_holds_the_gil_past_its_lease_keeps_its_job(
    pool: str, start: Start, queue: RedisJobQueue
) -> None:
    worker = start(pool, children=2, lease=LEASE)
    job = queue.enqueue("hold_gil", {"seconds": 3 * LEASE})
    worker.noted(f"hold_gil {job.id} ends")
    eventually(lambda: queue.stats().totals["acked"] == 1)
    assert worker.texts.count(f"hold_gil {job.id} begins") == 1
    assert queue.stats().totals["reclaimed"] == queue.stats().totals["stale"] == 0


@pytest.mark.promise("P9")
@pytest.mark.scenario(9)
@pytest.mark.parametrize("pool", ["async", "prefork"])
def test_a_job_that_kills_its_process_is_buried_and_costs_no_other_an_attempt(
    pool: str, start: Start, queue: RedisJobQueue
) -> None:
    worker = start(pool, children=1)
    poison = queue.enqueue("poison", max_attempts=3)
    others = queue.enqueue_many([NewJob("note", {"n": n}) for n in range(20)])
    eventually(lambda: queue.stats().dead == 1, 30)
    eventually(lambda: queue.stats().totals["acked"] == len(others), 30)
    assert worker.texts.count(f"poison {poison.id} begins") == 3
    (dead,) = queue.dead()
    assert dead.reason == "worker_lost"
    assert [worker.texts.count(f"note {n}") for n in range(20)] == [1] * 20


@pytest.mark.promise("P9")
@pytest.mark.scenario(9)
@pytest.mark.parametrize(
    ("pool", "concurrency"), [("async", 1), ("threads", 1), ("prefork", 1), ("async", 10), ("threads", 5)]
)
def test_poison_that_was_fetched_ahead_is_charged_and_what_was_fetched_with_it_is_not(
    pool: str, concurrency: int, start: Start, queue: RedisJobQueue
) -> None:
    worker = start(pool, children=1, concurrency=concurrency)
    queue.enqueue_many([NewJob("attempt") for _ in range(200)])
    eventually(lambda: queue.stats().totals["acked"] == 200)  # now it fetches dozens ahead
    others = [NewJob("attempt", job_id=f"other{n}") for n in range(40)]
    queue.enqueue_many([*others[:20], NewJob("poison", job_id="poison", max_attempts=3), *others[20:]])
    eventually(lambda: queue.stats().dead == 1, 30)
    eventually(lambda: queue.stats().totals["acked"] == 240, 30)
    (dead,) = queue.dead()
    assert (dead.id, dead.reason, dead.attempts) == ("poison", "worker_lost", 3)
    assert queue.stats().totals["reclaimed"] == 3, "no other job was charged"
    assert {text for text in worker.texts if text.startswith("attempt")} >= {
        f"attempt 1 of other{n}" for n in range(40)
    }
    assert not any(text.startswith(("attempt 2", "attempt 3")) for text in worker.texts)
    starts = [(pid, text) for _, pid, text in worker.notes if text.startswith(("poison", "attempt 1 of other"))]
    first = next(at for at, (_, text) in enumerate(starts) if text.startswith("poison"))
    assert any(pid == starts[first][0] for pid, _ in starts[:first]), "it was fetched ahead"
    times = worker.texts.count("poison poison begins")
    # beside others nobody knows which of them it was: then each is tried alone, uncharged until then
    assert times == 3 if concurrency == 1 else times in (3, 4)


@pytest.mark.parametrize("pool", ["async", "threads"])
def test_when_a_process_dies_with_several_jobs_each_runs_alone_next(
    pool: str, start: Start, queue: RedisJobQueue, tmp_path: Path
) -> None:
    worker = start(pool, children=1, concurrency=5)
    bystanders = [queue.enqueue("held") for _ in range(3)]
    for job in bystanders:
        worker.noted(f"held {job.id} begins")
    poison = queue.enqueue("poison", max_attempts=2)
    eventually(lambda: " died" in worker.log, 30)
    (tmp_path / "go_on").touch()
    eventually(lambda: queue.stats().dead == 1, 30)
    eventually(lambda: queue.stats().totals["acked"] == 3, 30)
    assert queue.dead()[0].id == poison.id
    assert worker.texts.count(f"poison {poison.id} begins") == 3  # once beside others, uncharged
    assert queue.stats().totals["reclaimed"] == 2
    # from the second start of each on, nothing began before the one before had ended
    texts = worker.texts
    alone = texts[next(at for at, text in enumerate(texts) if text.startswith("poison")) + 1 :]
    events = [text.split()[-1] for text in alone if text.startswith("held")]
    assert events == ["begins", "ends"] * 3


@pytest.mark.alone
@pytest.mark.scenario(25)
@pytest.mark.parametrize("pool", ["async", "prefork"])
@pytest.mark.parametrize("children", [None, 1])
def test_a_job_that_is_cancelled_while_it_runs_ends_and_is_buried(
    pool: str, children: int | None, start: Start, queue: RedisJobQueue
) -> None:
    worker = start(pool, lease=LEASE, **({} if children is None else {"children": children}))
    name = "asleep" if pool == "async" else "blocking"
    job = queue.enqueue(name, {"seconds": 30})
    eventually(lambda: any(f"{name} {job.id} begins" in text for text in worker.texts))
    queue.cancel(job.id)
    worker.noted(f"{name} {job.id} cancelled")
    eventually(lambda: queue.stats().dead == 1)
    assert worker.texts.count(f"{name} {job.id} cancelled") == 1
    assert queue.dead()[0].reason == "cancelled"
    assert queue.stats().in_flight == queue.stats().totals["stale"] == 0


@pytest.mark.scenario(20)
@pytest.mark.parametrize("name", ["spin", "hold_gil"])
def test_scenario_20_after_a_hard_limit_another_child_takes_over(name: str, start: Start, queue: RedisJobQueue) -> None:
    worker = start("prefork", children=1, limits={"hard_seconds": 1})
    job = queue.enqueue(name, {"seconds": 20}, max_attempts=1)
    worker.noted(f"{name} {job.id} begins")
    queue.enqueue("note", {"n": "next"})
    worker.noted("note next")
    eventually(lambda: queue.stats().dead == 1)
    (dead,) = queue.dead()
    assert dead.last_error == f"TimeLimitExceeded: Job {name} exceeded its hard time limit of 1 s"
    assert (dead.reason, dead.attempts) == ("exhausted", 1)
    assert queue.stats().totals["reclaimed"] == queue.stats().totals["stale"] == 0


def test_one_that_holds_the_gil_past_its_hard_limit_waits_for_its_next_attempt(
    start: Start, queue: RedisJobQueue
) -> None:
    worker = start("prefork", children=1, limits={"hard_seconds": 1})
    job = queue.enqueue("hold_gil", {"seconds": 20}, backoff_seconds=60)
    worker.noted(f"hold_gil {job.id} begins")
    eventually(lambda: queue.stats().delayed == 1)
    assert queue.stats().totals["retried"] == 1
    # one that dies sooner is no matter of its limit
    queue.enqueue("poison", max_attempts=1)
    eventually(lambda: queue.stats().dead == 1)
    assert queue.dead()[0].reason == "worker_lost"


@pytest.mark.parametrize("pool", ["async", "threads", "prefork", "solo"])
def test_what_is_done_when_the_next_job_kills_its_process_is_not_run_again(
    pool: str, start: Start, queue: RedisJobQueue
) -> None:
    worker = start(pool, children=1)
    for number in range(5):
        jobs = [NewJob("note", {"n": f"{number}.{n}"}) for n in range(5)]
        queue.enqueue_many([*jobs, NewJob("poison", max_attempts=1)])
    eventually(lambda: queue.stats().dead == 5, 45, worker.log)
    eventually(lambda: queue.stats().totals["acked"] == 25, message=worker.log)
    assert sorted(text for text in worker.texts if text.startswith("note")) == [
        f"note {number}.{n}" for number in range(5) for n in range(5)
    ]


def test_children_that_are_recycled_cut_no_job_and_leave_no_gap(start: Start, queue: RedisJobQueue) -> None:
    worker = start("async", children=2, concurrency=4, recycling={"max_jobs": 30})
    queue.enqueue_many([NewJob("asleep", {"seconds": 0.02}) for _ in range(200)])
    eventually(lambda: queue.stats().totals["acked"] == 200, 30)
    processes = {pid for _, pid, text in worker.notes if text.endswith("ends")}
    assert len(processes) >= 7
    totals = queue.stats().totals
    assert totals["reclaimed"] == totals["stale"] == totals["retried"] == 0
    assert len([text for text in worker.texts if text.endswith("begins")]) == 200


@pytest.mark.parametrize("pool", ["async", "prefork"])
def test_the_keeper_tells_of_a_lost_lease(
    pool: str, start: Start, queue: RedisJobQueue, redis_client: redis.Redis
) -> None:
    worker = start(pool, children=1, lease=LEASE)
    name = "asleep" if pool == "async" else "blocking"
    job = queue.enqueue(name, {"seconds": 30})
    eventually(lambda: any(f"{name} {job.id} begins" in text for text in worker.texts))
    redis_client.hset(f"{queue.name}:job:{job.id}", "lease", "0-somebody")
    worker.noted(f"{name} {job.id} cancelled")
    assert worker.texts.count(f"{name} {job.id} cancelled") == 1
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert queue.stats().totals["stale"] == 0


def test_a_worker_stops_on_sigterm_with_its_jobs_given_back(start: Start, queue: RedisJobQueue) -> None:
    worker = start("prefork", children=2, grace=1)
    long = [queue.enqueue("blocking", {"seconds": 60}) for _ in range(2)]
    for job in long:
        worker.noted(f"blocking {job.id} begins in True")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert [job.attempts for job in queue.reserve_many(2)] == [1, 1]
    assert queue.stats().totals["released"] == 2
