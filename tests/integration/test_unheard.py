"""A process that dies between the server's answer to its fetch and its own look at it: its jobs are not lost to it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import redis

from svcjobs._redis.scripts import script
from svcjobs.estate import Estate
from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.child_process import ChildProcess
from tests.eventually import eventually
from tests.integration.child_fixtures import queue
from tests.proxy import RedisProxy
from tests.servers import RedisServer

__all__ = ["queue"]

Request = tuple[str, int]


@pytest.fixture
def requests(queue: RedisJobQueue) -> list[Request]:
    """Those of the queue's reserves, as they are made."""
    requests: list[Request] = []
    queue.announce_reserves(requests.append)
    return requests


def test_another_client_gets_what_a_reserve_has_leased(queue: RedisJobQueue, requests: list[Request]) -> None:
    queue.enqueue_many([NewJob("noop", {"n": n}) for n in range(3)])
    jobs = queue.reserve_many(2)
    assert queue.sibling(queue.name).unheard(requests[-1]) == jobs
    assert queue.stats().in_flight == 2, "nothing else was leased"


@pytest.mark.alone
def test_it_gets_none_that_is_settled_and_none_after_a_later_call(
    queue: RedisJobQueue, requests: list[Request]
) -> None:
    queue.enqueue_many([NewJob("noop", job_id=name) for name in "ab"])
    queue.reserve_many(2)
    heir = queue.sibling(queue.name)
    heir.ack(heir.unheard(requests[-1])[0])
    assert [job.id for job in heir.unheard(requests[-1])] == ["b"]
    queue.reserve_many(1)
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert heir.unheard(requests[0]) == []
        took.append(time.monotonic() - began)
    assert min(took) < 0.5, "what can't succeed any more isn't tried again"
    assert heir.unheard(requests[-1]) == []


def test_a_fetch_that_the_server_hadnt_done_is_never_done(queue: RedisJobQueue, requests: list[Request]) -> None:
    heir = queue.sibling(queue.name)
    queue.reserve_next()
    heir.enqueue("noop")
    nonce, number = requests[-1]
    assert heir.unheard((nonce, number + 1)) == []
    assert queue.reserve_next() is None, "its answer was given to the heir"
    assert queue.reserve_next() is not None


def test_an_estate_gives_back_what_was_never_heard_of_and_lets_a_verdict_stand(
    queue: RedisJobQueue, requests: list[Request]
) -> None:
    queue.enqueue("noop", job_id="last", max_attempts=1)
    job = queue.reserve_next()
    assert job is not None
    queue.extend(job, seconds=0)
    queue.enqueue("noop", job_id="fresh")
    taken = {job.id: job.verdict for job in queue.reserve_many(2, verdicts=True)}
    assert taken == {"fresh": None, "last": "worker_lost"}
    queues = {queue.name: queue.sibling(queue.name)}
    Estate(1, [], frozenset(), requests[-1], [queue.name]).completed(queues).settle(queues)
    assert queue.stats().in_flight == 0
    again = {job.id: (job.verdict, job.attempts) for job in queue.reserve_many(2, verdicts=True)}
    assert again == {"fresh": (None, 1), "last": ("worker_lost", 1)}


@pytest.mark.promise("P9")
@pytest.mark.parametrize("pool", ["async", "threads", "prefork"])
def test_a_killed_childs_fetch_on_the_way_goes_back_at_once_and_uncharged(
    pool: str, tmp_path: Path, queue: RedisJobQueue, redis_server: RedisServer, redis_client: redis.Redis
) -> None:
    port = redis_client.connection_pool.connection_kwargs["port"]
    with RedisProxy(port) as proxy:
        worker = ChildProcess(tmp_path, {"url": proxy.url, "prefixes": [queue.name], "pool": pool, "children": 1})
        try:
            worker.noted("startup")
            (_, child, _), *_ = worker.notes
            for nth in range(1, 20):
                proxy.swallow_reply(nth, containing=script("reserve").sha.encode())
            queue.enqueue("attempt", job_id="unheard")
            eventually(lambda: queue.stats().in_flight == 1)
            os.kill(child, signal.SIGKILL)
            proxy.pass_through()
            worker.noted("attempt 1 of unheard", timeout=20)
            assert queue.stats().totals["reclaimed"] == 0
            assert "died before it heard of 1 jobs" in worker.log
        finally:
            worker.close()
