"""Workers, results and remote control of the facade on a Redis Cluster of three nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.crc import key_slot

from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat import chain, chord, group
from svcjobs_celery_compat.exceptions import TaskRevokedError
from tests.compat.worker.conftest import Worker
from tests.compat.worker.kills import kill_processes
from tests.eventually import eventually
from tests.integration.redis.monitor import Watch
from tests.server_program import ServerProgram
from tests.servers import Cluster, start_cluster

FULL = bool(os.environ.get("SVCJOBS_FULL"))
SECONDS = 30.0
QUEUE = "jobs:{celery}"


@dataclass(frozen=True)
class Place:
    """What the fixtures of these tests take for a server."""

    url: str
    cluster: Cluster


@pytest.fixture(scope="module")
def worker_server(server_program: ServerProgram) -> Iterator[Place]:
    with closing(start_cluster(3, server_program)) as cluster:
        yield Place("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes), cluster)


@pytest.fixture(scope="module", autouse=True)
def worker(start: Callable[..., Worker]) -> Worker:
    return start("w1", "-c", "2").ready()


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    """A worker for a block only: the other tests need the machine."""
    try:
        worker.ready()
        yield
    finally:
        worker.kill()


def notes(client: Any, name: str) -> list[str]:
    found: Any = client.lrange(f"notes:{name}", 0, -1)
    return [entry.decode() for entry in found]


def test_results_lie_on_all_nodes_and_nothing_is_left_to_relay(program: Any, client: Any, worker_server: Place) -> None:
    results = [program.add.delay(number, 1) for number in range(30)]
    assert [result.get(timeout=SECONDS) for result in results] == list(range(1, 31))
    keys = [f"celery-task-meta-{result.id}" for result in results]
    assert {key_slot(key.encode()) * 3 // 16384 for key in keys} == {0, 1, 2}
    assert all(0 < client.ttl(key) <= 86400 for key in keys)
    eventually(lambda: not client.exists(f"{QUEUE}:effects"))
    assert not client.exists(f"{QUEUE}:effects:refused")


def test_canvases(program: Any) -> None:
    add, total = program.add, program.total
    assert chain(add.s(1, 2), add.s(3), add.s(4)).delay().get(timeout=SECONDS) == 10
    assert group(add.s(n, n) for n in range(6)).delay().get(timeout=SECONDS) == [0, 2, 4, 6, 8, 10]
    chained = chain(add.s(1, 1), chord([add.s(1), add.s(2)], total.s()), add.s(10))
    assert chained.delay().get(timeout=SECONDS) == 17
    nested = chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], program.flat.s())
    assert nested.delay().get(timeout=SECONDS) == 12
    assert group([]).delay().get(timeout=SECONDS) == []


def test_a_retry_and_an_eta(program: Any, client: Any) -> None:
    assert program.retried.delay(2).get(timeout=SECONDS) == 2
    waiting = client.zcard(f"{QUEUE}:delayed")
    late = program.add.apply_async((1, 2), countdown=600)
    assert client.zcard(f"{QUEUE}:delayed") == waiting + 1
    late.revoke()
    before = datetime.now(UTC)
    result = program.add.apply_async((1, 2), countdown=1.5)
    assert result.get(timeout=SECONDS) == 3
    assert (datetime.now(UTC) - before).total_seconds() >= 1.5


def test_remote_control(program: Any, worker: Worker) -> None:
    app, name = program.app, worker.name
    inspect = app.control.inspect(timeout=SECONDS, destination=[name])
    assert app.control.ping(timeout=SECONDS, destination=[name]) == [{name: {"ok": "pong"}}]
    assert [queue["name"] for queue in inspect.active_queues()[name]] == ["celery"]
    assert len(inspect.stats()[name]["pool"]["processes"]) == 2
    waiting = program.add.apply_async((1, 2), countdown=600)
    assert waiting.id in {entry["request"]["id"] for entry in inspect.scheduled()[name]}
    waiting.revoke()


def test_events(program: Any, worker: Worker) -> None:
    program.app.control.enable_events(reply=True, timeout=2)
    seen: set[str] = set()

    def note(event: dict[str, Any]) -> None:
        if not seen:  # it listens now
            program.add.delay(2, 2)
        seen.add(event["type"])
        receiver.should_stop = {"task-received", "task-succeeded", "worker-heartbeat"} <= seen

    with program.app.connection_for_read() as connection:
        receiver = program.app.events.Receiver(connection, handlers={"*": note})
        receiver.capture(limit=None, timeout=SECONDS, wakeup=True)
    assert receiver.should_stop
    program.app.control.disable_events()


def test_a_revoked_task_never_runs_though_no_worker_was_up(
    program: Any, client: Any, start: Callable[..., Worker]
) -> None:
    revoked = program.sleep.apply_async((0,), queue="later")
    delayed = program.sleep.apply_async((0,), queue="later", countdown=0.5)
    program.app.control.revoke([revoked.id, delayed.id])
    kept = program.sleep.apply_async((0,), queue="later")
    with running(start("w2", "-c", "1", "-Q", "later")):
        assert kept.get(timeout=SECONDS) == 0
        for result in (revoked, delayed):
            with pytest.raises(TaskRevokedError):
                result.get(timeout=SECONDS)
    assert 0 < client.ttl("{jobs}:kombu:revoked") <= 2 * 86400


@pytest.mark.scenario(11)
def test_an_unknown_task_waits_for_a_worker_that_knows_it(
    program: Any, client: Any, start: Callable[..., Worker]
) -> None:
    queue = "jobs:{release}"
    result = program.app.send_task("of_the_next_release", queue="release")
    with running(start("w3", "-c", "1", "-Q", "release")):
        eventually(lambda: client.zcard(f"{queue}:delayed") == 1, SECONDS, "it is given back")
    with running(start("w4", "-c", "1", "-Q", "release", FACADE_RELEASE="2")):
        assert result.get(timeout=SECONDS) == "known now"


@pytest.mark.alone
def test_a_rate_limit_is_kept(program: Any) -> None:
    starts = sorted(result.get(timeout=SECONDS) for result in [program.limited.delay(n) for n in range(3)])
    assert starts[-1] - starts[0] >= 0.9


@pytest.mark.scenario(3)
@pytest.mark.promise("P3")
def test_p3_a_task_whose_process_was_killed_runs_again(program: Any, client: Any) -> None:
    assert program.killed_once.delay("cluster").get(timeout=SECONDS) == "survived"
    assert len(notes(client, "cluster")) == 2


@pytest.mark.scenario(3)
@pytest.mark.promise("P3")
def test_p3_a_task_whose_worker_was_killed_runs_on_another_one(
    program: Any, client: Any, start: Callable[..., Worker]
) -> None:
    killed = start("w5", "-c", "1", "-Q", "deadly").ready()
    result = program.late.apply_async(("deadly", 5.0), queue="deadly")
    eventually(lambda: notes(client, "deadly"), SECONDS)
    killed.kill()
    with running(start("w6", "-c", "1", "-Q", "deadly")):
        assert result.get(timeout=SECONDS) == "done"
    assert len(notes(client, "deadly")) == 2
    assert client.hget("jobs:{deadly}:counters", "acked") == b"1"


@pytest.mark.alone
@pytest.mark.scenario(28)
@pytest.mark.promise("P6")
def test_p6_a_chord_fires_once_although_processes_are_killed(program: Any, client: Any, worker: Worker) -> None:
    members = 1000 if FULL else 200
    result = chord([program.part.s(n) for n in range(members)], program.total.s()).delay()
    kill_processes(program, worker, 15 if FULL else 3)
    assert result.get(timeout=120) == sum(range(members))
    eventually(lambda: not client.exists(f"{QUEUE}:effects"))
    assert notes(client, "total").count(str(sum(range(members)))) == 1


@pytest.mark.scenario(28)
def test_a_chord_with_a_failed_member_calls_its_errback_once(program: Any, client: Any) -> None:
    body = program.total.s().on_error(program.told.si("errback"))
    result = chord([program.add.s(1, 1), program.fail.s(), program.add.s(2, 2)], body).delay()
    with pytest.raises(Exception, match="on purpose"):
        result.get(timeout=SECONDS)
    eventually(lambda: notes(client, "errback"), SECONDS)
    assert program.add.delay(1, 1).get(timeout=SECONDS) == 2
    assert len(notes(client, "errback")) == 1


@pytest.mark.scenario(16)
def test_all_keys_of_a_script_share_a_slot(program: Any, worker_server: Place) -> None:
    add, total = program.add, program.total
    with Watch(worker_server.cluster) as watch:
        chord([add.s(1, 1), add.s(2, 2)], total.s()).delay().get(timeout=SECONDS)
        program.retried.delay(1).get(timeout=SECONDS)
        program.limited.delay(1).get(timeout=SECONDS)
        program.app.control.revoke("no-such-task")
    scripts = 0
    for commands in watch.commands.values():
        slots: set[int] = set()
        for in_script, words in commands:
            if not in_script:
                slots = set()
                scripts += words[0] in ("EVALSHA", "EVAL")
            elif words[0] not in ("TIME", "SELECT", "PUBLISH"):
                keys = words[1:] if words[0] in ("EXISTS", "UNLINK", "DEL") else words[1:2]
                slots |= {key_slot(key.encode()) for key in keys}
                assert len(slots) == 1, words
    assert scripts > 20


def test_the_database_of_a_cluster_is_none(program: Any) -> None:
    with pytest.raises(ConfigurationError, match="only database 0"):
        program.app.connection("redis+cluster://127.0.0.1:1/3").connect()
