"""Many jobs, and processes that come and go: SCENARIOS 17, 18 and 31."""

from __future__ import annotations

import random
import time
from typing import Any

import psutil
import pytest
import redis

from svcjobs.job import NewJob
from svcjobs.queue import Ack
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.chaos.conftest import MakeScene
from tests.chaos.runs import runs_of
from tests.chaos.scene import FULL, Scene
from tests.servers import RedisServer

STALL_SECONDS = 60.0
"""A worker that does nothing for so long hangs."""
SPARED_SECONDS = 5.0
"""One that does nothing for so long isn't struck: a busy machine may take longer to start a child than it lives."""
PATIENT: dict[str, Any] = {"max_attempts": 100, "backoff_seconds": 0}


def fill(scene: Scene, name: str, count: int, payload: dict[str, Any], **options: Any) -> None:
    for start in range(0, count, 5_000):
        new = [NewJob(name, payload, **options)] * min(5_000, count - start)
        scene.queue.enqueue_many(new)


@pytest.mark.promise("P1")
@pytest.mark.scenario(17)
@pytest.mark.timeout(1_800)
def test_s17_prefork_never_hangs_while_its_children_die(redis_server: RedisServer, make_scene: MakeScene) -> None:
    scene = make_scene(redis_server, 3.0)
    count = 50_000 if FULL else 600
    draw = random.Random(17)
    fill(scene, "quick", count, {}, **PATIENT)
    worker = scene.fleet.worker("-P", "prefork", "-c", "2", "--max-jobs-per-child", "20", "-l", "warning")
    done, changed_at, kills = 0, time.monotonic(), 0
    while (now_done := scene.total("acked")) < count:
        if now_done > done:
            done, changed_at = now_done, time.monotonic()
        assert time.monotonic() - changed_at < STALL_SECONDS, (
            f"{done} of {count} done, and no more: {worker.log[-3000:]}"
        )
        time.sleep(draw.uniform(0.2, 1))
        if time.monotonic() - changed_at < SPARED_SECONDS and (children := worker.children):
            worker.kill(draw.choice(children))
            kills += 1
    assert worker.alive
    assert kills > 1
    assert worker.stop() == 0
    runs = runs_of(scene.events)
    assert len(runs) == count
    assert all(runs_of_job[-1].outcome == "ok" for runs_of_job in runs.values())


@pytest.mark.scenario(18)
@pytest.mark.timeout(3_000)
def test_s18_the_parents_memory_is_flat_and_recycling_cuts_no_job(
    redis_server: RedisServer, make_scene: MakeScene
) -> None:
    scene = make_scene(redis_server, 5.0)
    half = 100_000 if FULL else 500
    recycle = "2000" if FULL else "100"
    worker = scene.worker("-c", "4", "--processes", "2", "--max-jobs-per-child", recycle)
    born = set(worker.children)
    fill(scene, "quick", 200, {}, **PATIENT)
    scene.has(acked=200, timeout=60)
    parent = psutil.Process(worker.pid)
    before = parent.memory_info().rss
    fill(scene, "quick", half, {}, **PATIENT)
    fill(scene, "failing", half, {}, max_attempts=1)
    scene.has(acked=200 + half, dead=half, in_flight=0, ready=0, timeout=2_400)
    grown = (parent.memory_info().rss - before) / 2**20
    assert grown < max(1.0, 2 * half / 10_000), f"the parent grew by {grown:.1f} MB"
    assert not born <= set(worker.children), "children were recycled"
    runs = runs_of(scene.events)
    assert {run.outcome for job in runs.values() for run in job} == {"ok", "raised"}, "no job was cut"
    assert (scene.total("reclaimed"), scene.total("stale")) == (0, 0)
    assert worker.stop() == 0


@pytest.mark.scenario(31)
@pytest.mark.timeout(1_800)
def test_s31_the_server_has_its_memory_back_when_the_jobs_are_done(own_server: RedisServer) -> None:
    client: redis.Redis = own_server.client()
    queue = RedisJobQueue(client)
    run_dry(queue, 1_000)  # scripts, counters and the server's tables are there
    before = settled_memory(client)
    count = 1_000_000 if FULL else 20_000
    for start in range(0, count, 5_000):
        queue.enqueue_many([NewJob("quick", {"number": number}) for number in range(start, start + 5_000)])
    assert settled_memory(client) - before > 200 * count
    run_dry(queue, 0)
    check_drained(client, "jobs")
    assert settled_memory(client) - before < 500_000, "its buffers may have grown, whatever the number of jobs"
    queue.close()


def run_dry(queue: RedisJobQueue, more: int) -> None:
    """Enqueue ``more`` jobs, then finish all that are there."""
    queue.enqueue_many([NewJob("quick", {})] * more)
    while jobs := queue.reserve_many(1_000):
        queue.settle_many([Ack(job) for job in jobs])


def settled_memory(client: redis.Redis) -> int:
    """Bytes of the server without those of its clients, once it has cleaned up after itself."""
    seen: list[int] = []

    def stands_still() -> bool:
        info: Any = client.info("memory")
        seen.append(info["used_memory"] - info["mem_clients_normal"])
        return len(seen) > 1 and seen[-1] == seen[-2]

    while not stands_still():
        time.sleep(0.3)
    return seen[-1]
