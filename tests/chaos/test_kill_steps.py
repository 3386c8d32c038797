"""kill -9 at each step of each transition: every job is in one place, and all of them get done."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from svcjobs.job import NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check, check_drained, take_census
from tests.chaos.victim import MOMENTS, NAME, PROCESSES, Moment, die_in, rage
from tests.eventually import eventually
from tests.servers import RedisServer

LEASE_SECONDS = 0.2
RAGES = 25
RAGE_SECONDS = 8.0
FEWEST = 100
"""Jobs that have to be stored, however long that takes."""


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    queue = RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=LEASE_SECONDS)
    yield queue
    queue.close()


def victims_are_gone(client: redis.Redis) -> bool:
    return all(other["name"] != NAME for other in client.client_list())


def enqueue(queue: RedisJobQueue) -> None:
    queue.enqueue_many([NewJob("work", job_id="a", unique=Unique("a")), NewJob("work", job_id="b", delay_seconds=0.05)])


def reserve(queue: RedisJobQueue) -> None:
    assert queue.reserve_many(5)


def settle(queue: RedisJobQueue, verb: str) -> None:
    job = queue.reserve_next()
    assert job
    if verb == "bury":
        queue.bury(job, reason="rejected")
    elif verb == "fail":
        queue.fail(job, error="oops", delay_seconds=0.05)
    else:
        getattr(queue, verb)(job)


def cancel(queue: RedisJobQueue) -> None:
    queue.cancel("a")


def promote(queue: RedisJobQueue) -> None:
    time.sleep(0.06)
    queue.promote()


def reclaim(queue: RedisJobQueue) -> None:
    assert queue.reserve_next()
    time.sleep(LEASE_SECONDS + 0.02)
    queue.reclaim()


STEPS: dict[str, Callable[[RedisJobQueue], None]] = {
    "enqueue": enqueue,
    "reserve": reserve,
    **{verb: partial(settle, verb=verb) for verb in ("ack", "fail", "bury", "release", "extend")},
    "cancel": cancel,
    "promote": promote,
    "reclaim": reclaim,
}


@pytest.mark.promise("P1")
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", STEPS)
def test_p1_a_process_killed_in_a_step_loses_no_job_and_doubles_none(
    redis_server: RedisServer, redis_client: redis.Redis, queue: RedisJobQueue, step: str, moment: Moment
) -> None:
    if step != "enqueue":
        enqueue(queue)
    die_in(redis_server.url, queue.name, step, moment, STEPS[step])
    eventually(lambda: victims_are_gone(redis_client))

    census = check(redis_client, queue.name)
    happened = moment != "before it is sent"
    if step == "enqueue":
        assert set(census.ids) == ({"a", "b"} if happened else set())
    elif step == "ack":
        assert set(census.ids) == ({"b"} if happened else {"a", "b"})
    else:
        assert set(census.ids) == {"a", "b"}
    if step in ("bury", "cancel") and happened:
        assert queue.requeue_all() == 1

    left = set(census.ids)
    done: list[str] = []

    def drained() -> bool:
        while job := queue.reserve_next():  # all that is there: the last look comes late on a busy machine
            queue.ack(job)
            done.append(job.id)
        return set(done) == left

    eventually(drained, timeout=LEASE_SECONDS + 2)
    assert sorted(done) == sorted(left)
    check_drained(redis_client, queue.name)


@pytest.mark.promise("P1")
def test_p1_processes_killed_at_random_lose_no_acknowledged_job(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    draw = random.Random(20261124)
    queue = RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=0.05)
    stored: set[str] = set()
    acked: set[str] = set()
    asked: set[str] = set()
    deadline = time.monotonic() + RAGE_SECONDS
    rounds = 0
    while rounds < RAGES and (len(stored) <= FEWEST or time.monotonic() < deadline):
        rounds += 1
        victims = []
        for n in range(2):
            mine, theirs = PROCESSES.Pipe(duplex=False)
            process = PROCESSES.Process(
                target=rage, args=(redis_server.url, prefix, rounds * 10 + n, theirs), daemon=True
            )
            process.start()
            theirs.close()
            victims.append((process, mine))
        eventually(lambda victims=victims: all(mine.poll() for _, mine in victims))
        time.sleep(draw.uniform(0.02, 0.25))
        for process, _ in victims:
            process.kill()
        for process, mine in victims:
            process.join()
            read_diary(mine, asked, stored, acked)
        eventually(lambda: victims_are_gone(redis_client))
        census = check(redis_client, prefix)
        assert stored - acked <= set(census.ids), f"lost: {sorted(stored - acked - set(census.ids))[:5]}"
        assert set(census.ids) <= asked

    census = take_census(redis_client, prefix)
    assert len(stored) > FEWEST
    assert census.totals["enqueued"] == census.totals["acked"] + len(census.ids)
    queue.requeue_all()
    done = set()

    def drained() -> bool:
        for job in queue.reserve_many(100):
            queue.ack(job)
            done.add(job.id)
        return done == set(census.ids) - {job.id for job in queue.dead(10_000)}

    eventually(drained)
    queue.purge_dead()
    check_drained(redis_client, prefix)
    print(f"\n{rounds} rounds, {len(stored)} jobs stored, {len(acked)} acked before a kill, {len(done)} drained after")
    queue.close()


def read_diary(diary: object, asked: set[str], stored: set[str], acked: set[str]) -> None:
    """What a victim wrote down before it died."""
    pages = {"asked": asked, "stored": stored, "acking": acked}
    while True:
        try:
            what, ids = diary.recv()  # type: ignore[attr-defined]
        except (EOFError, OSError):
            return
        pages[what].update(ids)
