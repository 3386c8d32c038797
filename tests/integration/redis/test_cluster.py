"""A Redis Cluster of three nodes: the keys of a script share a slot, and effects reach other slots once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from svcjobs._redis.names import queue_prefix
from svcjobs.effects import Count, Follow, SetResult
from svcjobs.errors import ConfigurationError, JobsError, LeaseLost
from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check, check_drained
from tests.chaos.victim import PROCESSES
from tests.eventually import eventually
from tests.servers import Cluster, start_cluster


def on_node(cluster: Cluster, number: int, root: str) -> str:
    """A prefix whose slot lies on a node: the slots are shared out in three equal parts."""
    names = (queue_prefix(f"q{n}", root) for n in range(1000))
    return next(name for name in names if key_slot(name.encode()) * 3 // 16384 == number)


def slot(text: str) -> int:
    return int(key_slot(text.encode()))


@pytest.fixture
def client(cluster: Cluster) -> redis.RedisCluster:
    return cluster.client()


@pytest.fixture
def queue(cluster: Cluster, client: redis.RedisCluster, prefix: str) -> Iterator[RedisJobQueue]:
    queue = RedisJobQueue(client, prefix=on_node(cluster, 0, prefix), visibility_timeout=0.5)
    yield queue
    queue.close()


@pytest.fixture
def other(cluster: Cluster, client: redis.RedisCluster, prefix: str) -> Iterator[RedisJobQueue]:
    queue = RedisJobQueue(client, prefix=on_node(cluster, 1, prefix), visibility_timeout=0.5)
    yield queue
    queue.close()


@pytest.mark.scenario(16)
def test_two_queues_on_different_nodes_work_side_by_side(
    cluster: Cluster, client: redis.RedisCluster, queue: RedisJobQueue, other: RedisJobQueue
) -> None:
    nodes = {client.get_node_from_key(name).port for name in (queue.name, other.name)}
    assert len(nodes) == 2
    for each in (queue, other):
        each.enqueue_many([NewJob("work", {"queue": each.name}) for _ in range(10)])
    for _ in range(10):
        for each in (queue, other):
            job = each.reserve_next()
            assert job
            assert job.payload == {"queue": each.name}
            each.ack(job)
    for each in (queue, other):
        check_drained(client, each.name)


def test_the_documented_prefix_gets_its_hash_tag(client: redis.RedisCluster) -> None:
    assert RedisJobQueue(client).name == "{jobs}"
    with pytest.raises(ConfigurationError, match="hash tag"):
        RedisJobQueue(client, prefix="emails")


def result_key(queue: RedisJobQueue, n: int = 0) -> str:
    """A key in another slot."""
    return f"result-{queue.name.partition(':')[0]}-{n}"


@pytest.mark.promise("P6")
def test_p6_effects_for_another_slot_are_relayed_once_and_in_order(
    client: redis.RedisCluster, queue: RedisJobQueue, other: RedisJobQueue
) -> None:
    for n in range(5):
        queue.enqueue("work", {"n": n})
    for _ in range(5):
        job = queue.reserve_next()
        assert job
        n = job.payload["n"]
        queue.ack(
            job,
            effects=[
                SetResult(result_key(queue), str(n)),
                Count(result_key(queue, 1)),
                Follow(NewJob("next", {"n": n}), queue=other.name),
            ],
        )
    assert client.get(result_key(queue)) == b"4"
    assert client.get(result_key(queue, 1)) == b"5"
    assert [job.payload["n"] for job in other.reserve_many(10)] == [0, 1, 2, 3, 4]
    assert not client.exists(f"{queue.name}:effects")
    check_drained(client, queue.name)


def relaying_victim(url: str, prefix: str, script: str, before: bool) -> None:
    """Relay effects, and die around the first call of a script."""
    queue = RedisJobQueue(redis.RedisCluster.from_url(url), prefix=prefix)
    send = queue._link._send

    def deadly(call: Any) -> Any:
        if call.script.name == script and before:
            os.kill(os.getpid(), signal.SIGKILL)
        reply = send(call)
        if call.script.name == script:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    queue._link._send = deadly  # type: ignore[method-assign]
    queue.relay_effects()


@pytest.mark.promise("P6")
@pytest.mark.parametrize(("script", "before"), [("relay", True), ("relay", False), ("forget_effect", False)])
def test_p6_an_effect_is_carried_out_once_though_its_relay_is_killed(
    cluster: Cluster, client: redis.RedisCluster, queue: RedisJobQueue, other: RedisJobQueue, script: str, before: bool
) -> None:
    settled_without_relay(queue, [Count(result_key(queue)), Follow(NewJob("next"), queue=other.name)])
    victim = PROCESSES.Process(target=relaying_victim, args=(cluster.url, queue.name, script, before), daemon=True)
    victim.start()
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL
    queue.relay_effects()
    assert client.get(result_key(queue)) == b"1"
    assert len(other.reserve_many(10)) == 1
    assert not client.exists(f"{queue.name}:effects")


@pytest.mark.promise("P6")
def test_p6_two_relays_at_once_carry_out_each_effect_once(
    client: redis.RedisCluster, queue: RedisJobQueue, cluster: Cluster
) -> None:
    settled_without_relay(queue, [Count(result_key(queue)) for _ in range(50)])
    rivals = [RedisJobQueue(cluster.client(), prefix=queue.name) for _ in range(3)]
    threads = [threading.Thread(target=rival.relay_effects) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get(result_key(queue)) == b"50"
    for rival in rivals:
        rival.close()


def settled_without_relay(queue: RedisJobQueue, effects: list[Any]) -> None:
    """As left by a worker that died after its settlement."""

    class Dead(Exception):
        pass

    queue.enqueue("work")
    job = queue.reserve_next()
    assert job
    link = queue._link
    send = link._send

    def deaf(call: Any) -> Any:
        if call.script.name == "waiting_effects":
            raise Dead
        return send(call)

    link._send = deaf  # type: ignore[method-assign]
    with pytest.raises(Dead):
        queue.ack(job, effects=effects)
    link._send = send  # type: ignore[method-assign]


@pytest.mark.promise("P6")
@pytest.mark.parametrize("obstacle", ["garbage", "wrong type", "dead job"])
def test_p6_an_effect_that_can_never_be_carried_out_blocks_nobody(
    client: redis.RedisCluster, queue: RedisJobQueue, other: RedisJobQueue, obstacle: str
) -> None:
    """The settlement is committed, the effect can't be: the queue goes on, and the effect is kept, not dropped."""
    effect: Any = Count(result_key(queue, 1))
    if obstacle == "wrong type":
        client.rpush(result_key(queue, 1), "spoilt")
    elif obstacle == "dead job":
        other.enqueue("work", job_id="dead")
        job = other.reserve_next()
        assert job
        other.bury(job, reason="rejected")
        effect = Follow(NewJob("work", job_id="dead"), queue=other.name)
    else:
        client.rpush(f"{queue.name}:effects", "garbage")
    queue.enqueue_many([NewJob("work") for _ in range(3)])
    first = queue.reserve_next()
    assert first
    queue.ack(first, effects=[effect, Count(result_key(queue, 2))])
    for _ in range(2):
        job = queue.reserve_next()
        assert job, "the jobs behind it are handed out"
        queue.ack(job)
    assert client.get(result_key(queue, 2)) == b"1", "the effects behind it are carried out"
    assert client.llen(f"{queue.name}:effects:refused") == 1


@pytest.mark.promise("P6")
def test_p6_a_node_that_is_away_stops_no_queue_on_the_others(cluster: Cluster, prefix: str) -> None:
    own = start_cluster(3, cluster.nodes[0].program)
    try:
        client = own.client()
        queue = RedisJobQueue(client, prefix=on_node(own, 0, prefix), timeout_seconds=0.9)
        key = next(f"result-{n}" for n in range(1000) if slot(f"result-{n}") * 3 // 16384 == 2)
        queue.enqueue_many([NewJob("work") for _ in range(3)])
        first = queue.reserve_next()
        assert first
        own.nodes[2].pause()
        queue.ack(first, effects=[Count(key)])
        second = queue.reserve_next()
        assert second, "a job that was leased is handed over"
        queue.ack(second)
        own.nodes[2].resume()

        def relayed() -> bool:
            try:
                queue.relay_effects()
            except JobsError as error:
                raise AssertionError(str(error)) from error
            return bool(client.get(key) == b"1")

        eventually(relayed)
        assert queue.stats().ready == 1
        queue.close()
    finally:
        own.close()


@pytest.mark.alone
@pytest.mark.scenario(16)
@pytest.mark.promise("P1")
def test_p1_to_p5_on_a_cluster(client: redis.RedisCluster, queue: RedisJobQueue) -> None:
    """The core of each promise: kept jobs, fenced leases, lost workers, extension, delays."""
    queue.enqueue("p1", job_id="a")
    lost = queue.reserve_next()
    assert lost
    again = eventually(queue.reserve_next, 2.5)
    assert (again.id, again.attempts) == ("a", 2)
    with pytest.raises(LeaseLost):
        queue.ack(lost)
    for _ in range(3):
        queue.extend(again, seconds=2)
        queue.wait(0.7)
        assert queue.reserve_next() is None
    queue.fail(again, error="oops", delay_seconds=1)
    assert queue.reserve_next() is None
    last = eventually(queue.reserve_next, 2)
    assert json.dumps(last.history)
    queue.ack(last)
    totals = queue.stats().totals
    assert (totals["enqueued"], totals["acked"], totals["stale"], totals["reclaimed"], totals["retried"]) == (
        1, 1, 1, 1, 1,
    )  # fmt: skip
    check_drained(client, queue.name)


@pytest.mark.alone
def test_a_wait_on_a_cluster_is_woken(cluster: Cluster, queue: RedisJobQueue, prefix: str) -> None:
    got: list[str] = []

    def consume() -> None:
        mine = RedisJobQueue(cluster.client(), prefix=queue.name)
        while not got:
            if job := mine.reserve_next():
                mine.ack(job)
                got.append(job.id)
            else:
                mine.wait(10)
        mine.close()

    thread = threading.Thread(target=consume)
    thread.start()
    node = redis.Redis(port=cluster.nodes[0].port)
    eventually(lambda: node.info("clients")["blocked_clients"] == 1)
    queue.enqueue("work")
    eventually(lambda: got, 1)
    thread.join()
    node.close()
    check(cluster.client(), queue.name, set())
