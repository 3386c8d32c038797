"""A Redis Cluster of three nodes: the keys of a script share a slot, and effects reach other slots once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Self

import pytest
import redis
from redis.crc import key_slot

from svcjobs._redis.names import queue_prefix
from svcjobs._redis.scripts import script
from svcjobs.effects import Count, Follow, SetResult
from svcjobs.errors import ConfigurationError, JobsError, LeaseLost
from svcjobs.heartbeats import Heartbeats, LiveWorker
from svcjobs.job import NewJob, Unique
from svcjobs.leadership import RedisSchedulerLeader
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check, check_drained
from tests.chaos.victim import PROCESSES
from tests.eventually import eventually
from tests.server_program import ROOT
from tests.servers import Cluster, start_cluster

LUA = ROOT / "svcjobs" / "_redis" / "lua"
CONNECTING = ("HELLO", "CLIENT", "CLUSTER", "COMMAND")


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


class Watch:
    """What the nodes run while a block is executed, as MONITOR shows it."""

    def __init__(self, cluster: Cluster) -> None:
        self.commands: dict[int, list[tuple[bool, list[str]]]] = {node.port: [] for node in cluster.nodes}
        """Per node, and then per command, whether a script ran it, and its words. Those of a script follow its call."""
        self._cluster = cluster
        self._clients: list[redis.Redis] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for node in self._cluster.nodes:
            client = redis.Redis(port=node.port, socket_timeout=10)
            ready = threading.Event()
            thread = threading.Thread(target=self._listen, args=(client, self.commands[node.port], ready))
            thread.start()
            assert ready.wait(5)
            self._clients.append(client)
            self._threads.append(thread)
        return self

    def _listen(self, client: redis.Redis, commands: list[tuple[bool, list[str]]], ready: threading.Event) -> None:
        with client.monitor() as monitor:
            ready.set()
            while True:
                line = monitor.next_command()
                words = line["command"].split(" ")
                if words[0] == "ECHO":
                    return
                commands.append((line["client_type"] == "lua", words))

    def __exit__(self, *exc: object) -> None:
        for node in self._cluster.nodes:
            with redis.Redis(port=node.port) as client:
                client.echo("end")
        for thread in self._threads:
            thread.join(10)
        for client in self._clients:
            client.close()


def every_verb(client: redis.RedisCluster, queue: RedisJobQueue, other: RedisJobQueue) -> None:
    """Use everything a queue can do, and what workers and schedulers keep beside it."""
    queue.enqueue("work", unique=Unique("u"), priority=3)
    queue.enqueue_many([NewJob("work", job_id=f"j{n}") for n in range(6)])
    queue.enqueue("work", delay_seconds=0.01)
    queue.pause()
    assert queue.reserve_next() is None
    queue.resume()
    queue.promote()
    jobs = queue.reserve_many(5)
    queue.extend(jobs[0])
    queue.ack(
        jobs[0],
        effects=[SetResult(f"{queue.name}:r", "1"), Follow(NewJob("next")), Follow(NewJob("there"), queue=other.name)],
    )
    queue.fail(jobs[1], error="oops", delay_seconds=30, effects=[Count(f"elsewhere-{queue.name[:8]}")])
    queue.bury(jobs[2], reason="rejected")
    queue.release(jobs[3])
    queue.reclaim()
    queue.get("j1")
    queue.dead()
    queue.requeue(jobs[2].id)
    queue.requeue_all()
    queue.stats()
    queue.claim_tick("nightly", 1.0, NewJob("report"))
    queue.last_tick("nightly")
    queue.wait(0.01)
    queue.relay_effects()
    queue.cancel(queue.enqueue("work").id)
    queue.place("j1")
    queue.seconds_to_due([queue])
    queue.purge()
    queue.purge_dead()
    leader = RedisSchedulerLeader(client, key=f"{queue.name}:leader", owner_id="me", lease_seconds=9)
    leader.ensure_leader()
    leader.release()
    leader.close()
    heartbeats = Heartbeats(client, prefix=queue.name)
    worker = LiveWorker("me", "here", 1, "async", 1, datetime.now(UTC))
    heartbeats.beat(worker)
    heartbeats.beat(worker)
    heartbeats.workers()
    heartbeats.leave("me")
    heartbeats.close()


@pytest.mark.scenario(16)
def test_all_keys_of_a_script_share_a_slot(
    cluster: Cluster, client: redis.RedisCluster, queue: RedisJobQueue, other: RedisJobQueue
) -> None:
    scripts = [script(path.stem) for path in LUA.glob("*.lua")]
    names = {each.sha: each.name for each in scripts}
    for node in cluster.nodes:
        for each in scripts:  # else the first call of one sends its source
            node.client().script_load(each.source)
    with Watch(cluster) as watch:
        every_verb(client, queue, other)
    allowed = {slot(queue.name), slot(other.name), slot(f"elsewhere-{queue.name[:8]}")}
    ran: set[str] = set()
    for commands in watch.commands.values():
        name, slots = "", set[int]()
        for lua, words in commands:
            if lua and words[0] not in ("TIME", "SELECT", "PUBLISH"):
                keys = words[1:] if words[0] in ("EXISTS", "UNLINK", "DEL") else words[1:2]
                slots |= {slot(key) for key in keys}
                assert len(slots) == 1, (name, words)
                assert slots <= allowed, (name, words)
            elif words[0] == "EVALSHA":
                name, slots = names[words[1]], set()
                assert words[2] == "1", "one key: the prefix"
                ran.add(name)
            elif not lua:
                assert words[0] in CONNECTING or words[0] in ("BLPOP", "EXISTS"), (
                    f"{words[0]} is sent beside the scripts"
                )
    assert ran == set(names.values()), "every script"


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
        queue.extend(again, seconds=0.5)
        queue.wait(0.3)
        assert queue.reserve_next() is None
    queue.fail(again, error="oops", delay_seconds=0.3)
    assert queue.reserve_next() is None
    last = eventually(queue.reserve_next, 1.3)
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
