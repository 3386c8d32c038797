"""All keys that a script touches lie in one slot, whatever a queue, a worker or a scheduler asks for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis

from svcjobs._redis.scripts import script
from svcjobs.effects import Count, Follow, SetResult
from svcjobs.heartbeats import Heartbeats, LiveWorker
from svcjobs.job import NewJob, Unique
from svcjobs.leadership import RedisSchedulerLeader
from svcjobs.redis_queue import RedisJobQueue
from tests.integration.redis.monitor import Watch
from tests.integration.redis.test_cluster import client, other, queue, slot
from tests.server_program import ROOT
from tests.servers import Cluster

__all__ = ["client", "other", "queue"]

LUA = ROOT / "svcjobs" / "_redis" / "lua"
CONNECTING = ("HELLO", "CLIENT", "CLUSTER", "COMMAND")


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
