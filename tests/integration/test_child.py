"""A worker child as a process: what it fetches, in which order, how it stops, and what it gives back."""

from __future__ import annotations

import itertools
import signal
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis

from svcjobs.queue import NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Outcome
from tests.eventually import eventually
from tests.integration.child_fixtures import Start, queue, start
from tests.servers import RedisServer

__all__ = ["queue", "start"]

POOLS = ("async", "threads", "prefork", "solo")


def is_empty(queue: RedisJobQueue) -> bool:
    stats = queue.stats()
    return not (stats.ready or stats.delayed or stats.in_flight)


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_runs_coroutines_and_plain_functions(pool: str, start: Start, queue: RedisJobQueue) -> None:
    child = start(pool)
    queue.enqueue("note", {"n": "first"})
    plain = queue.enqueue("blocking", {"seconds": 0})
    child.noted("note first")
    child.noted(f"blocking {plain.id} begins in {pool in ('prefork', 'solo')}")
    child.noted(f"blocking {plain.id} ends")
    eventually(lambda: is_empty(queue))
    child.signal(signal.SIGTERM)
    assert child.ends() == 0
    child.noted("shutdown")
    assert queue.stats().totals["stale"] == 0


@pytest.mark.alone
@pytest.mark.scenario(19)
def test_scenario_19_500_coroutines_that_sleep_for_a_second_take_less_than_3_seconds(
    start: Start, queue: RedisJobQueue
) -> None:
    child = start("async", concurrency=500)
    rounds: list[float] = []
    while not rounds or (min(rounds) >= 3 and len(rounds) < 3):  # of a few, as other programs may have the processor
        began = time.monotonic()
        queue.enqueue_many([NewJob("asleep", {"seconds": 1}) for _ in range(500)])
        jobs = 500 * (len(rounds) + 1)
        eventually(lambda jobs=jobs: queue.stats().totals["acked"] == jobs)  # type: ignore[misc]
        rounds.append(time.monotonic() - began)
        assert sum(text.endswith("ends") for text in child.texts) == jobs
    assert min(rounds) < 3, rounds


@pytest.mark.scenario(19)
def test_scenario_19_a_blocked_loop_does_not_expire_other_leases(start: Start, queue: RedisJobQueue) -> None:
    child = start("async", concurrency=2, lease=5)
    other = queue.enqueue("asleep", {"seconds": 8})
    child.noted(f"asleep {other.id} begins")
    blocks = queue.enqueue("hold_gil", {"seconds": 2})  # its own thread can't extend for over a third of the lease
    child.noted(f"hold_gil {blocks.id} ends")
    child.noted(f"asleep {other.id} ends")
    eventually(lambda: queue.stats().totals["acked"] == 2)
    assert queue.stats().totals["reclaimed"] == 0


@pytest.mark.alone
@pytest.mark.scenario(21)
@pytest.mark.parametrize("pool", ["async", "threads", "prefork"])
def test_scenario_21_at_sigterm_a_short_job_ends_and_a_long_one_starts_elsewhere(
    pool: str, start: Start, queue: RedisJobQueue
) -> None:
    name = "asleep" if pool == "async" else "blocking"
    begins = " begins" if pool == "async" else f" begins in {pool == 'prefork'}"
    children = [start(pool, concurrency=2, grace=2) for _ in range(2 if pool == "prefork" else 1)]
    short, long = (queue.enqueue(name, {"seconds": seconds}) for seconds in (1, 60))
    children[0].noted(f"{name} {short.id}{begins}")
    children[0].noted(f"{name} {long.id}{begins}")
    other = start(pool, concurrency=2)
    for child in children:
        child.signal(signal.SIGTERM)
    grace_ends = time.time() + 2
    assert all(child.ends() == 0 for child in children)
    children[0].noted(f"{name} {short.id} ends")
    again = other.noted(f"{name} {long.id}{begins}", 2)
    assert again - grace_ends <= 1
    stored = queue.get(long.id)
    assert stored is not None
    assert stored.attempts == 1  # that of the attempt which runs now
    assert queue.stats().totals["stale"] == 0


def test_a_second_signal_gives_back_now(start: Start, queue: RedisJobQueue) -> None:
    child = start("async", grace=60)
    job = queue.enqueue("asleep", {"seconds": 60})
    child.noted(f"asleep {job.id} begins")
    child.signal(signal.SIGTERM)
    child.signal(signal.SIGINT)  # two of a kind are one when they come before its main thread runs again
    assert child.ends() == 0
    child.noted(f"asleep {job.id} cancelled")
    stored = queue.get(job.id)
    assert stored is not None
    assert stored.attempts == 0


def test_at_sigterm_what_has_not_begun_is_given_back_at_once(start: Start, queue: RedisJobQueue) -> None:
    child = start("prefork", grace=30)
    warm_up(queue, child)
    # short ones make it hold jobs ahead; then it is stopped while it holds some
    queue.enqueue_many([NewJob("noop", {}) for _ in range(20_000)] + [NewJob("note", {"n": "last"})])
    eventually(lambda: queue.stats().in_flight > 5)
    child.signal(signal.SIGTERM)
    assert child.ends() == 0
    stats = queue.stats()
    assert stats.in_flight == 0
    assert stats.ready > 0
    assert stats.totals["reclaimed"] == 0
    assert all(job.attempts == 1 for job in queue.reserve_many(200))


@pytest.mark.alone
@pytest.mark.scenario(22)
@pytest.mark.promise("P7")
def test_scenario_22_one_long_job_does_not_hold_up_short_ones(start: Start, queue: RedisJobQueue) -> None:
    first, _ = start("async", concurrency=1), start("async", concurrency=1)
    warm_up(queue, first)
    began = time.time()
    queue.enqueue_many([NewJob("asleep", {"seconds": 4}), *(NewJob("note", {"n": n}) for n in range(10))])
    ends = [first.noted(f"note {n}") for n in range(10)]
    assert max(ends) - began < 2
    assert not any("asleep" in text and text.endswith("ends") for text in first.texts)


@pytest.mark.alone
@pytest.mark.promise("P7")
@pytest.mark.parametrize("pool", ["async", "prefork"])
def test_when_a_job_overruns_the_rest_is_given_back_uncharged(pool: str, start: Start, queue: RedisJobQueue) -> None:
    child = start(pool, concurrency=1)
    warm_up(queue, child)
    short = [NewJob("noop", {}) for _ in range(20)]
    jobs = queue.enqueue_many([*short[:2], NewJob("blocking", {"seconds": 2}), *short])
    eventually(lambda: any(f"blocking {jobs[2].id} begins" in text for text in child.texts))
    eventually(lambda: queue.stats().in_flight == 1, 0.5, "only the long job is held")
    assert queue.stats().totals["released"] > 0  # the first fetch takes what the short runs before allow
    eventually(lambda: is_empty(queue))
    assert queue.stats().totals["stale"] == 0


@pytest.mark.promise("P7")
def test_a_child_whose_loop_is_blocked_leaves_jobs_to_others(
    start: Start, queue: RedisJobQueue, tmp_path: Path
) -> None:
    child = start("async", concurrency=5)
    blocks = queue.enqueue("block_loop", {"seconds": 20})
    child.noted(f"block_loop {blocks.id} begins")
    queue.enqueue_many([NewJob("note", {"n": n}) for n in range(20)])
    eventually(lambda: queue.stats().totals["released"] > 0)
    time.sleep(0.5)
    assert queue.stats().totals["released"] <= 5  # and doesn't fetch and give back, again and again
    start("async", concurrency=5)
    other_at = max(child.noted(f"note {n}") for n in range(20))
    (tmp_path / "go_on").touch()
    assert other_at < child.noted(f"block_loop {blocks.id} ends")
    queue.enqueue("note", {"n": "later"})
    child.noted("note later")
    eventually(lambda: is_empty(queue))


@pytest.mark.alone
def test_a_child_goes_on_when_its_loop_turns_again(start: Start, queue: RedisJobQueue) -> None:
    child = start("async", concurrency=5)
    blocks = queue.enqueue("block_loop", {"seconds": 1.5})
    child.noted(f"block_loop {blocks.id} begins")
    queue.enqueue_many([NewJob("note", {"n": n}) for n in range(20)])
    again = max(child.noted(f"note {n}") for n in range(20))
    assert again - child.noted(f"block_loop {blocks.id} ends") < 1


@pytest.mark.alone
@pytest.mark.scenario(23)
def test_scenario_23_a_job_of_high_priority_is_next_and_low_ones_do_not_starve(
    start: Start, queue: RedisJobQueue
) -> None:
    queue.enqueue_many([NewJob("blocking", {"seconds": 0.03}, priority=6) for _ in range(1000)])
    child = start("prefork")
    eventually(lambda: len(child.texts) > 10)
    late = []
    for n in range(5):
        enqueued_at = time.time()
        queue.enqueue("note", {"n": f"high {n}"})
        late.append(child.noted(f"note high {n}") - enqueued_at)
    assert min(late) < 0.2, late
    # now the high ones never end, and some low ones run nevertheless
    high = [job.id for job in queue.enqueue_many([NewJob("blocking", {"seconds": 0.03}) for _ in range(100)])]
    eventually(lambda: any(f"blocking {high[50]} ends" in text for text in child.texts), 30)
    began = [text.split()[1] for text in child.texts if text.startswith("blocking") and " begins " in text]
    between = began[began.index(high[0]) : began.index(high[50])]
    assert 2 <= len(set(between) - set(high)) <= 15


def test_the_last_queue_does_not_starve(start: Start, queue: RedisJobQueue, redis_client: redis.Redis) -> None:
    prefixes = [queue.name, f"{queue.name}b"]
    with closing(RedisJobQueue(redis_client, prefix=prefixes[1])) as last:
        queue.enqueue_many([NewJob("blocking", {"seconds": 0.03}) for _ in range(200)])
        last.enqueue_many([NewJob("note", {"n": f"last {n}"}) for n in range(3)])
        child = start("prefork", prefixes=prefixes)
        child.noted("note last 2")
        texts = child.texts
        before = sum(text.startswith("blocking") and " begins " in text for text in texts[: texts.index("note last 2")])
        assert 10 < before < 50  # each tenth


@pytest.mark.alone
def test_a_busy_child_passes_on_a_wake_up_that_it_took(
    start: Start, queue: RedisJobQueue, redis_client: redis.Redis
) -> None:
    prefixes = [queue.name, f"{queue.name}b"]
    with closing(RedisJobQueue(redis_client, prefix=prefixes[1])) as last:
        child = start("prefork", prefixes=prefixes)
        job = last.enqueue("blocking", {"seconds": 30})
        child.noted(f"blocking {job.id} begins in True")
        queue.enqueue("note")  # the child still waits for jobs of this queue, so it gets the token
        eventually(lambda: redis_client.llen(f"{queue.name}:wake") == 1, 1, "a token for another worker")
        assert queue.stats().ready == 1


@pytest.mark.alone
@pytest.mark.scenario(1)
def test_a_child_stops_in_time_while_its_server_is_away(start: Start, own_server: RedisServer) -> None:
    child = start("async", url=own_server.url, grace=1)
    own_server.kill()
    eventually(lambda: "can't be used" in child.log or child.process.poll() is not None, 15)
    began = time.monotonic()
    child.signal(signal.SIGTERM)
    assert child.ends() == 0
    assert time.monotonic() - began < 8


@pytest.mark.promise("P2")
def test_what_a_server_settled_unheard_is_not_settled_again(start: Start, prefix: str, own_server: RedisServer) -> None:
    """It stands still for longer than a call may take, and then carries out what it was sent meanwhile."""
    child = start(url=own_server.url, concurrency=20, timeout=0.9, children=1)
    with closing(own_server.client()) as client, closing(RedisJobQueue(client, prefix=prefix)) as queue:
        queue.enqueue_many([NewJob("asleep", {"seconds": 0.05}, max_attempts=1) for _ in range(2000)])
        for _ in range(3):
            acked = queue.stats().totals["acked"]
            eventually(lambda acked=acked: queue.stats().totals["acked"] > acked + 20)
            own_server.pause()
            time.sleep(3)
            own_server.resume()
        eventually(lambda: queue.stats().totals["acked"] == 2000, 30)
        totals = queue.stats().totals
        assert totals["stale"] == totals["reclaimed"] == totals["retried"] == 0
    assert sum(text.endswith("ends") for text in child.texts) == 2000


@pytest.mark.alone
@pytest.mark.scenario(1)
def test_a_child_outlives_its_server(start: Start, prefix: str, own_server: RedisServer) -> None:
    child = start("async", concurrency=5, url=own_server.url)
    with closing(RedisJobQueue(own_server.client(), prefix=prefix)) as queue:
        held = queue.enqueue("asleep", {"seconds": 1})
        child.noted(f"asleep {held.id} begins")
        own_server.kill()
        child.noted(f"asleep {held.id} ends")
        own_server.start()
        back_at = time.time()
        queue.enqueue("note", {"n": "after"})
        assert child.noted("note after") - back_at < 5
        eventually(lambda: is_empty(queue))
        assert queue.stats().totals["stale"] == 0
        assert queue.stats().totals["acked"] == 2


@pytest.mark.parametrize(
    ("pool", "name"), [("async", "asleep"), *itertools.product(["threads", "prefork"], ["asleep", "blocking"])]
)
def test_a_handler_whose_lease_is_lost_is_cancelled_and_settles_nothing(
    pool: str, name: str, start: Start, queue: RedisJobQueue, redis_client: redis.Redis
) -> None:
    child = start(pool, lease=1)
    job = queue.enqueue(name, {"seconds": 30})
    eventually(lambda: any(f"{name} {job.id} begins" in text for text in child.texts))
    redis_client.hset(f"{queue.name}:job:{job.id}", "lease", "0-somebody")  # as if another worker had it
    child.noted(f"{name} {job.id} cancelled")
    child.signal(signal.SIGTERM)
    assert child.ends() == 0
    assert queue.stats().totals["stale"] == 0


# in the pool async a plain function runs on in its thread, and what it returns doesn't count
@pytest.mark.parametrize(
    ("pool", "name"),
    [("async", "asleep"), *itertools.product(["threads", "prefork", "solo"], ["asleep", "blocking", "spin"])],
)
def test_a_cancelled_job_is_ended_where_its_handler_can_be(
    pool: str, name: str, start: Start, queue: RedisJobQueue
) -> None:
    child = start(pool, lease=1)
    job = queue.enqueue(name, {"seconds": 30})
    eventually(lambda: any(f"{name} {job.id} begins" in text for text in child.texts))
    assert queue.cancel(job.id) is Outcome.CANCELLING
    eventually(lambda: queue.stats().dead == 1)
    assert queue.dead()[0].reason == "cancelled"
    queue.enqueue("note", {"n": "next"})
    child.noted("note next")


@pytest.mark.alone
@pytest.mark.parametrize("pool", ["async", "prefork"])
def test_an_idle_child_is_quiet_and_starts_a_job_at_once(
    pool: str, start: Start, queue: RedisJobQueue, own_server: RedisServer
) -> None:
    child = start(pool, url=own_server.url)
    client = own_server.client()

    def commands() -> int:
        return sum(counts["calls"] for name, counts in client.info("commandstats").items() if name in sent)

    sent = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_blpop")
    time.sleep(0.5)
    before, began = commands(), time.monotonic()
    time.sleep(2.5)
    assert commands() - before <= 2 * (time.monotonic() - began)
    with closing(RedisJobQueue(client, prefix=queue.name)) as own:
        late = []
        for n in range(10):
            enqueued_at = time.time()
            own.enqueue("note", {"n": n})
            late.append(child.noted(f"note {n}") - enqueued_at)
        print(f"from enqueue to handler, pool {pool}: {sorted(late)[5] * 1000:.1f} ms (median)")
        assert min(late) < 0.02
        assert sorted(late)[5] < 0.2  # a machine at work; one that polled would take a second


@pytest.mark.parametrize("recycling", [{"max_jobs": 20}, {"max_memory_kib": 150_000}, {"max_age_seconds": 1.5}])
def test_recycling_cuts_no_job(recycling: dict[str, float], start: Start, queue: RedisJobQueue) -> None:
    child = start("async", concurrency=4, recycling=recycling)
    name, payload = ("leak", {}) if "max_memory_kib" in recycling else ("asleep", {"seconds": 0.2})
    queue.enqueue_many([NewJob(name, payload) for _ in range(60)])
    assert child.ends() == 0
    stats = queue.stats()
    ended = sum(text.endswith("ends") or text.startswith("leak") for text in child.texts)
    assert stats.in_flight == 0
    assert stats.totals["acked"] == ended
    assert stats.ready == 60 - ended > 0
    assert stats.totals["stale"] == stats.totals["reclaimed"] == 0
    if "max_jobs" in recycling:
        assert ended == 20
    child.noted("shutdown")


@pytest.mark.parametrize("pool", ["async", "prefork"])
def test_a_child_that_hangs_while_it_makes_place_just_ends(
    pool: str, tmp_path: Path, start: Start, queue: RedisJobQueue
) -> None:
    (tmp_path / "hang").touch()
    child = start(pool, grace=0.5, recycling={"max_jobs": 1})
    queue.enqueue("noop")
    child.noted("shutdown")
    assert child.ends() == 0
    assert "doesn't stop in time" in child.log
    assert queue.stats().totals["acked"] == 1


@pytest.mark.alone
def test_cpu_per_no_op_job_of_the_async_pool(start: Start, queue: RedisJobQueue) -> None:
    child = start("async", concurrency=10)
    warm_up(queue, child)
    process = psutil.Process(child.process.pid)
    before = sum(process.cpu_times()[:2])
    queue.enqueue_many([NewJob("noop", {}) for _ in range(5000)])
    eventually(lambda: is_empty(queue), 60)
    microseconds = (sum(process.cpu_times()[:2]) - before) / 5000 * 1e6
    print(f"CPU per no-op job in the async pool: {microseconds:.0f} us")
    assert microseconds < 500


def warm_up(queue: RedisJobQueue, child: object) -> None:
    """Short runs, from which children learn that holding jobs ahead pays."""
    queue.enqueue_many([NewJob("noop", {}) for _ in range(200)])
    eventually(lambda: is_empty(queue))
