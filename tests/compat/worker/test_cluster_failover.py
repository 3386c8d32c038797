"""A node of the cluster is killed and its replica takes its place: the facade goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.crc import key_slot

from svcjobs_celery_compat import chain, chord
from tests.compat.worker.conftest import Worker
from tests.compat.worker.test_cluster import Place
from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import start_cluster

SECONDS = 30.0
QUEUE = "jobs:{celery}"


@pytest.fixture(scope="module")
def worker_server(server_program: ServerProgram) -> Iterator[Place]:
    with closing(start_cluster(3, server_program)) as cluster:
        cluster.add_replica(cluster.nodes[key_slot(QUEUE.encode()) * 3 // 16384])
        yield Place("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes), cluster)


@pytest.mark.scenario(15)
@pytest.mark.promise("P1")
@pytest.mark.promise("P10")
@pytest.mark.timeout(180)
def test_p10_a_replica_that_takes_over_has_the_tasks_and_the_same_worker_runs_them(
    program: Any, worker_server: Place, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = worker_server.cluster
    primary, replica = cluster.nodes[key_slot(QUEUE.encode()) * 3 // 16384], cluster.replicas[0]

    def on_the_primary(nodes: list[Any]) -> None:
        nodes.sort(key=lambda node: int(node.port != primary.port))

    # what listens for results is connected to the node that goes
    monkeypatch.setattr(random, "shuffle", on_the_primary)
    worker = start("w1", "-c", "2").ready()
    assert program.add.delay(1, 2).get(timeout=SECONDS) == 3
    waiting = [program.add.apply_async((number, 1), countdown=2) for number in range(10)]
    assert primary.client().wait(1, 5000) == 1
    primary.kill()
    eventually(lambda: replica.client().info("replication")["role"] == "master", SECONDS, "it takes over")
    taken_over = time.monotonic()
    assert [result.get(timeout=SECONDS) for result in waiting] == list(range(1, 11))

    def runs() -> bool:
        try:
            result = program.add.delay(5, 6)
        except program.app.connection().connection_errors as error:
            raise AssertionError(str(error)) from error
        return bool(result.get(timeout=SECONDS) == 11)

    eventually(runs, SECONDS)
    assert time.monotonic() - taken_over < 15, "within 5 s on an idle machine"
    assert chain(program.add.s(1, 2), program.add.s(3)).delay().get(timeout=SECONDS) == 6
    members = [program.add.s(number, number) for number in range(10)]
    assert chord(members, program.total.s()).delay().get(timeout=SECONDS) == 90
    inspect = program.app.control.inspect(timeout=2)
    eventually(lambda: worker.name in (inspect.ping() or {}), SECONDS, "remote control is there again")
    assert worker.log.read_text().count("it connects again") < 60, "not in a busy loop"
    assert worker.process.poll() is None
    worker.stop()
