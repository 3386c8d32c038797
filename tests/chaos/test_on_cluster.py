"""`svcjobs worker` on a Redis Cluster of three nodes: SCENARIO 16, with 1, 2, 4, 5 and 6 in short."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from redis.crc import key_slot

from svcjobs._redis.names import queue_prefix
from tests.chaos.conftest import MakeScene
from tests.chaos.core import CORE, LEASE_SECONDS
from tests.chaos.scene import Scene
from tests.chaos.test_scenarios_server import Stream, consumes_again, excuse, processes
from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import Cluster, start_cluster

pytestmark = pytest.mark.scenario(16)


@pytest.fixture(scope="module")
def kept_cluster(server_program: ServerProgram) -> Iterator[Cluster]:
    """Three nodes of these tests' own, which keep what they acknowledge."""
    with closing(start_cluster(3, server_program, appendonly=True)) as cluster:
        yield cluster


@pytest.fixture
def scene(kept_cluster: Cluster, make_scene: MakeScene) -> Scene:
    return make_scene(kept_cluster, LEASE_SECONDS, f"redis+cluster://127.0.0.1:{kept_cluster.port}")


@pytest.mark.server
@pytest.mark.parametrize("scenario", CORE)
def test_s16_the_core_scenarios_hold_on_a_cluster(scene: Scene, scenario: Callable[[Scene], None]) -> None:
    scenario(scene)


@pytest.mark.server
@pytest.mark.promise("P1")
@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
def test_s01_restarts_of_each_node_under_load_lose_nothing(kept_cluster: Cluster, scene: Scene) -> None:
    scene.worker("-c", "4")
    before = processes(scene)
    since = time.monotonic()
    with Stream(scene) as stream:
        for node in kept_cluster.nodes:
            seen = len(stream.stored)
            eventually(lambda seen=seen: len(stream.stored) > seen + 10, 20, "the producer goes on")
            node.kill()
            node.start()
            back = time.monotonic()
        consumes_again(scene, back)
        for node in kept_cluster.nodes:
            node.kill()
        time.sleep(1)
        for node in kept_cluster.nodes:
            node.start()
        back = time.monotonic()
        consumes_again(scene, back)
    excuse(scene, since)
    scene.has(ready=0, in_flight=0, delayed=0, dead=0)
    assert processes(scene) == before, "the same processes go on"
    scene.judge()


@pytest.mark.alone
@pytest.mark.server
def test_s16_one_worker_serves_queues_on_different_nodes_and_is_listed(kept_cluster: Cluster, scene: Scene) -> None:
    root = scene.fleet.prefix
    names = [on_node(number, root) for number in range(3)]
    queues = [scene.queue.sibling(queue_prefix(name, root)) for name in names]
    worker = scene.worker("-Q", ",".join(names), "-n", "trio", "--grace", "0")
    for number in range(2):
        ids = [queue.enqueue("quick", job_id=f"{number} in {queue.name}").id for queue in queues]
        stored_at = time.monotonic()
        starts = [scene.run_number(job_id, 1).start for job_id in ids]
        assert max(starts) - stored_at < 1, "each queue wakes the worker"
        time.sleep(0.5)  # the worker waits for jobs again
    running = [queue.enqueue("slow", {"seconds": 60}, job_id=f"long in {queue.name}").id for queue in queues]

    def listed() -> bool:
        (found,) = json.loads(scene.fleet.command("workers", "--json"))["workers"]
        assert found["name"] == f"trio:{worker.pid}"
        assert set(found["queues"]) == {queue.name for queue in queues}
        assert {job["job_id"] for job in found["running"]} == set(running)
        return True

    eventually(listed)
    assert worker.stop() == 0
    assert json.loads(scene.fleet.command("workers", "--json"))["workers"] == []
    for queue in queues:
        stats = queue.stats()
        assert (stats.ready, stats.in_flight, stats.totals["acked"], stats.totals["stale"]) == (1, 0, 2, 0)


@pytest.mark.server
@pytest.mark.promise("P4")
@pytest.mark.scenario(4)
def test_s04_a_node_that_is_away_costs_no_lease_on_another(kept_cluster: Cluster, make_scene: MakeScene) -> None:
    for node in kept_cluster.nodes:
        node.client().config_set("cluster-require-full-coverage", "no")
    scene = make_scene(kept_cluster, 3.5, f"redis+cluster://127.0.0.1:{kept_cluster.port}")
    root = scene.fleet.prefix
    home = key_slot(root.encode()) * 3 // 16384  # heartbeats go there
    away, other = (number for number in range(3) if number != home)
    names = [on_node(number, root) for number in (away, other)]
    queues = [scene.queue.sibling(queue_prefix(name, root)) for name in names]
    scene.worker("-Q", ",".join(names))
    jobs = [queue.enqueue("nap", {"seconds": 5}, job_id=f"in {queue.name}").id for queue in queues]
    for job in jobs:
        scene.run_number(job, 1)
    kept_cluster.nodes[away].kill()
    try:
        eventually(lambda: queues[1].stats().totals["acked"] == 1)
        assert (queues[1].stats().totals["reclaimed"], queues[1].stats().totals["stale"]) == (0, 0)
        assert len(scene.runs(jobs[1])) == 1
    finally:
        kept_cluster.nodes[away].start()


def on_node(number: int, root: str) -> str:
    """The name of a queue whose slot lies on a node: the slots are shared out in three equal parts."""
    names = (f"q{n}" for n in range(1000))
    return next(name for name in names if key_slot(queue_prefix(name, root).encode()) * 3 // 16384 == number)
