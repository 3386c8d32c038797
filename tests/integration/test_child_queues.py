"""A child on several queues: it waits for all of them with one command, and is as fast as on one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.child_process import ChildProcess
from tests.eventually import eventually
from tests.integration.child_fixtures import Start, start
from tests.servers import RedisServer

__all__ = ["start"]

SENT = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_blpop")


@pytest.fixture
def client(own_server: RedisServer) -> Iterator[redis.Redis]:
    with closing(own_server.client()) as client:
        yield client


@pytest.fixture
def queues(client: redis.Redis, prefix: str) -> Iterator[list[RedisJobQueue]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(RedisJobQueue(client, prefix=f"{prefix}:{n}"))) for n in range(5)]


@pytest.fixture
def child(start: Start, queues: list[RedisJobQueue], own_server: RedisServer) -> ChildProcess:
    child = start(url=own_server.url, prefixes=[queue.name for queue in queues], concurrency=2)
    for queue in queues:  # each has had a job, and is idle again
        queue.enqueue("note", {"n": queue.name})
        child.noted(f"note {queue.name}")
    return child


def commands(client: redis.Redis) -> int:
    return sum(counts["calls"] for name, counts in client.info("commandstats").items() if name in SENT)


def test_an_idle_child_on_five_queues_sends_less_than_two_commands_a_second(
    child: ChildProcess, client: redis.Redis
) -> None:
    time.sleep(2.5)
    before, began = commands(client), time.monotonic()
    time.sleep(6)
    a_second = (commands(client) - before) / (time.monotonic() - began)
    print(f"commands of an idle child on 5 queues: {a_second:.2f} a second")
    assert 0.25 <= a_second < 2  # a round takes 2 s


def test_a_child_on_hundreds_of_queues_is_soon_as_idle(
    start: Start, client: redis.Redis, prefix: str, own_server: RedisServer
) -> None:
    """It finds them empty one by one, and each waits by itself until it can be waited for with the others."""
    with ExitStack() as stack:
        queues = [stack.enter_context(closing(RedisJobQueue(client, prefix=f"{prefix}:{n}"))) for n in range(200)]
        child = start(url=own_server.url, prefixes=[queue.name for queue in queues], concurrency=2)
        for queue in queues:
            queue.enqueue("note", {"n": queue.name})
        for queue in queues:
            child.noted(f"note {queue.name}")
    time.sleep(1.5)
    before, began = commands(client), time.monotonic()
    time.sleep(4)
    a_second = (commands(client) - before) / (time.monotonic() - began)
    print(f"commands of an idle child on 200 queues: {a_second:.2f} a second")
    assert 0.25 <= a_second < 2


@pytest.mark.alone
def test_a_job_starts_at_once_on_every_queue(child: ChildProcess, queues: list[RedisJobQueue]) -> None:
    """Whenever it comes: in the rounds of all queues, and while the queue waits by itself after a job."""
    late = []
    for n in range(60):
        time.sleep(n % 7 * 0.03)
        enqueued_at = time.time()
        queues[n % 3 if n < 30 else n % 5].enqueue("note", {"n": n})
        late.append(child.noted(f"note {n}") - enqueued_at)
    print(
        f"from enqueue to handler on 5 queues: {sorted(late)[30] * 1000:.1f} ms (median), {max(late) * 1000:.1f} (max)"
    )
    assert sorted(late)[30] < 0.1, "a look at the end of a round finds it after a second"
    assert max(late) < 1, "shorter than a round, which ends with a look at all queues"


@pytest.mark.alone
@pytest.mark.parametrize("delay", [0.3, 1.5, 2.6, 4.2])
def test_a_delayed_job_starts_in_time_on_every_queue(
    delay: float, child: ChildProcess, queues: list[RedisJobQueue]
) -> None:
    jobs = [queue.enqueue("note", {"n": f"late {queue.name}"}, delay_seconds=delay) for queue in queues]
    for job in jobs:
        started_at = child.noted(f"note {job.payload['n']}")
        assert -0.1 < started_at - job.available_at.timestamp() < 1


def test_a_queue_that_was_paused_is_taken_up(child: ChildProcess, queues: list[RedisJobQueue]) -> None:
    queues[3].pause()
    queues[3].enqueue("note", {"n": "paused"})
    queues[2].enqueue("note", {"n": "other"})
    child.noted("note other")
    assert "note paused" not in child.texts
    queues[3].resume()
    child.noted("note paused")


def test_a_token_that_nobody_took_up_costs_one_round(
    child: ChildProcess, queues: list[RedisJobQueue], client: redis.Redis
) -> None:
    """As when the worker that took it was killed: the look at the end of the round finds the job."""
    queues[4].pause()
    queues[4].enqueue("note", {"n": "found"})
    eventually(lambda: not client.exists(f"{queues[4].name}:wake"))
    client.delete(f"{queues[4].name}:paused")
    child.noted("note found", timeout=15)


def test_it_outlives_its_server(child: ChildProcess, queues: list[RedisJobQueue], own_server: RedisServer) -> None:
    own_server.kill()
    time.sleep(1)
    own_server.start()
    for queue in queues:
        eventually(lambda queue=queue: queue.enqueue("note", {"n": f"back {queue.name}"}))
    for queue in queues:
        child.noted(f"note back {queue.name}")
