"""A node of the cluster without a replica is away for a while: tasks wait, and none is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.crc import key_slot

from svcjobs_celery_compat import chord
from tests.compat.worker.conftest import Worker
from tests.compat.worker.test_cluster import Place
from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import Cluster, RedisServer, start_cluster

SECONDS = 40.0


def node_of(key: str) -> int:
    return int(key_slot(key.encode()) * 3 // 16384)


@pytest.fixture(scope="module")
def worker_server(server_program: ServerProgram) -> Iterator[Place]:
    with closing(start_cluster(3, server_program, appendonly=True)) as cluster:
        for node in cluster.nodes:
            node.client().config_set("cluster-require-full-coverage", "no")
        yield Place("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes), cluster)


@pytest.fixture(scope="module", autouse=True)
def worker(start: Callable[..., Worker]) -> Worker:
    return start("w1", "-c", "2").ready()


def outcomes(client: Any) -> tuple[int, int]:
    """How many tasks were acked, and how many effects wait for another node."""
    return int(client.hget("jobs:{celery}:counters", "acked") or 0), int(client.llen("jobs:{celery}:effects"))


def start_again(node: RedisServer, cluster: Cluster) -> None:
    """Start a node, and wait until all nodes find the cluster whole."""
    node.start()
    for each in cluster.nodes:
        client: Any = each.client()
        eventually(lambda client=client: client.cluster("info")["cluster_state"] == "ok", SECONDS)  # type: ignore[misc]


def settled(client: Any) -> bool:
    return client.llen("jobs:{celery}:processing") == client.llen("jobs:{celery}:effects") == 0


@pytest.mark.promise("P6")
@pytest.mark.timeout(150)
def test_p6_results_for_a_node_that_is_away_are_stored_when_it_is_back(
    program: Any, client: Any, worker_server: Place
) -> None:
    home = {node_of("jobs:{celery}"), node_of("{jobs}")}
    away = next(number for number in range(3) if number not in home)
    ids = [f"task-{number}" for number in range(60)]
    there = [task_id for task_id in ids if node_of(f"celery-task-meta-{task_id}") == away][:5]
    here = [task_id for task_id in ids if node_of(f"celery-task-meta-{task_id}") in home][:5]
    program.add.delay(1, 1).get(timeout=SECONDS)
    acked, _ = outcomes(client)
    node = worker_server.cluster.nodes[away]
    node.kill()
    try:
        results = [program.add.apply_async((1, 2), task_id=task_id) for task_id in there]
        eventually(lambda: outcomes(client)[0] == acked + 5, SECONDS, "they have run, and count as done")
        assert outcomes(client)[1] == 5, "nothing of them is lost"
    finally:
        start_again(node, worker_server.cluster)
    results += [program.add.apply_async((1, 2), task_id=task_id) for task_id in here]
    assert [result.get(timeout=SECONDS) for result in results] == [3] * 10
    eventually(lambda: settled(client), SECONDS)
    assert not client.exists("jobs:{celery}:effects:refused")


@pytest.mark.scenario(28)
@pytest.mark.timeout(150)
def test_a_chord_whose_node_is_away_while_its_members_run_fires_once(
    program: Any, client: Any, worker: Worker, worker_server: Place
) -> None:
    home = {node_of("jobs:{celery}"), node_of("{jobs}")}
    away = next(number for number in range(3) if number not in home)
    note = next(name for name in (f"chord{number}" for number in range(100)) if node_of(f"notes:{name}") in home)
    node = worker_server.cluster.nodes[away]
    chords = 0
    while not node.client().keys("{celery-taskset-meta-*}.s"):
        members = [program.part.s(number).set(countdown=5) for number in range(4)]
        chord(members, program.told.si(note)).delay()
        chords += 1
    node.kill()
    try:
        eventually(lambda: "Connection to Redis lost" in worker.log.read_text(), SECONDS, "a member waits for the node")
    finally:
        start_again(node, worker_server.cluster)
    eventually(lambda: client.llen(f"notes:{note}") == chords, SECONDS, "all chords have fired")
    eventually(lambda: settled(client), SECONDS)
    assert client.llen(f"notes:{note}") == chords
    assert not client.llen("jobs:{celery}:dlq")


@pytest.mark.timeout(150)
def test_tasks_wait_while_nobody_can_say_whether_they_were_revoked(
    program: Any, client: Any, worker_server: Place
) -> None:
    home = node_of("{jobs}")
    assert home != node_of("jobs:{celery}")
    node = worker_server.cluster.nodes[home]
    program.told.delay("before").get(timeout=SECONDS)  # the queue is declared by now
    node.kill()
    try:
        result = program.told.delay("outage")
        eventually(lambda: client.zcard("jobs:{celery}:delayed"), SECONDS, "it is given back for a while")
    finally:
        start_again(node, worker_server.cluster)
    assert result.get(timeout=SECONDS) is None
    assert client.llen("notes:outage") == 1
