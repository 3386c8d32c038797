"""A queue with something in every key, and one call for every script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import redis

from svcjobs._redis import calls, leader_calls, worker_calls
from svcjobs._redis.calls import Call
from svcjobs.clock import MovableClock
from svcjobs.effects import Count, Effect, Follow, SetResult
from svcjobs.job import Job, NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack, Bury, Fail, Release

SCRIPTS = sorted(
    entry.name.removesuffix(".lua")
    for entry in files("svcjobs._redis").joinpath("lua").iterdir()
    if entry.name.endswith(".lua")
)
NONCE = "0123456789"
UNUSED_PRIORITY = 7
BLOB = b'["effect-1", "Y291bnQ=", "eA==", "MQ==", "", ""]'


@dataclass(slots=True)
class Stage:
    """A queue at a standstill.

    ``held`` is leased for long, ``lost`` is leased and expired, ``due`` delayed and due, ``later`` delayed for
    long, ``first`` and ``fifth`` ready, ``dead`` dead. ``lost``, ``due`` and ``dead`` have a priority whose ready
    list isn't in use.
    """

    client: redis.Redis
    prefix: str
    queue: RedisJobQueue
    clock: MovableClock
    held: Job

    @property
    def now(self) -> str:
        return repr(self.clock())

    @property
    def request(self) -> tuple[str, int]:
        return NONCE, 7

    def dump(self) -> dict[str, bytes]:
        """Every key of the queue as the server serialises it."""
        keys = [key.decode() for key in self.client.scan_iter(match=f"{self.prefix}:*", count=1000)]
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        return {key[len(self.prefix) + 1 :]: dump for key, dump in zip(keys, pipeline.execute(), strict=True)}

    def run(self, call: Call[Any]) -> Any:
        return self.queue._link.run(call)

    def effects(self) -> list[Effect]:
        """One of each kind that the queue's own slot takes."""
        return [
            SetResult(f"{self.prefix}:result", "done", ttl_seconds=60, channel=f"{self.prefix}:results"),
            Count(f"{self.prefix}:tally"),
            Count(f"{self.prefix}:tallies", field="a"),
            Follow(NewJob("next", priority=UNUSED_PRIORITY)),
        ]

    def encoded(self) -> list[Any]:
        return self.queue._protocol._encode_effects(self.effects(), self.held)


def set_stage(client: redis.Redis, prefix: str, queue_factory: Callable[..., RedisJobQueue]) -> Stage:
    """Fill a queue."""
    clock = MovableClock(1_750_000_000.0)
    queue = queue_factory(client, prefix=prefix, clock=clock)
    queue.enqueue("work", job_id="held", unique=Unique("held"))
    held = queue.reserve_next()
    assert held is not None
    queue.extend(held, seconds=10_000)
    queue.enqueue("work", job_id="lost", unique=Unique("lost", "queued"), priority=UNUSED_PRIORITY)
    assert queue.reserve_next()
    queue.enqueue("work", job_id="dead", unique=Unique("dead"), priority=UNUSED_PRIORITY)
    dead = queue.reserve_next()
    assert dead is not None
    queue.bury(dead, reason="rejected", error="bad input")
    queue.enqueue("work", job_id="due", delay_seconds=10, priority=UNUSED_PRIORITY)
    queue.enqueue("work", job_id="later", delay_seconds=1_000_000)
    queue.enqueue("work", job_id="first")
    queue.enqueue("work", job_id="fifth", priority=5)
    queue.enqueue("work")
    queue.claim_tick("nightly", 1_000.0)
    clock.advance(100)
    client.delete(f"{prefix}:wake")
    client.srem(f"{prefix}:priorities", UNUSED_PRIORITY)
    client.set(f"{prefix}:req:{NONCE}", "3\nold")
    client.rpush(f"{prefix}:effects", BLOB)
    client.zadd(f"{prefix}:workers", {"w1": 1_750_000_000.0})
    return Stage(client, prefix, queue, clock, held)


def _stores(*jobs: tuple[str, str]) -> list[str]:
    return [part for name, options in jobs for part in (name, "{}", options)]


VERBS: dict[str, Callable[[Stage], Call[Any]]] = {
    "ack": lambda s: calls.ack(s.prefix, s.now, s.request, [(Ack(s.held), s.encoded())]),
    "beat": lambda s: worker_calls.beat(s.prefix, "w1", "{}", 60),
    "due": lambda s: worker_calls.due([s.prefix, f"{s.prefix}:other"], s.now),
    "leave": lambda s: worker_calls.leave(s.prefix, "w1"),
    "still": lambda s: worker_calls.still(s.prefix, "w1"),
    "workers": lambda s: worker_calls.workers(s.prefix, 10),
    "bury": lambda s: calls.bury(s.prefix, s.now, s.request, [(Bury(s.held, "rejected", "no"), s.encoded())]),
    "cancel": lambda s: calls.cancel(s.prefix, s.now, s.request, ["held", "lost", "later", "fifth", "dead", "none"]),
    "claim_tick": lambda s: calls.claim_tick(
        s.prefix, s.now, s.request, "nightly", 2_000.0, _stores(("tick", "priority=7\nunique=done:new"))
    ),
    "enqueue": lambda s: calls.enqueue(
        s.prefix,
        s.now,
        s.request,
        _stores(("a", "id=new"), ("b", "priority=7"), ("c", "delay=1.0"), ("d", "unique=done:new"), ("e", "")),
    ),
    "extend": lambda s: calls.extend(s.prefix, s.now, s.request, 5.0, [s.held]),
    "fail": lambda s: calls.fail(s.prefix, s.now, s.request, [(Fail(s.held, "oops", delay_seconds=1), s.encoded())]),
    "forget_effect": lambda s: calls.forget_effect(s.prefix, [BLOB], refused=True),
    "last_tick": lambda s: calls.last_tick(s.prefix, "nightly"),
    "lead": lambda s: leader_calls.lead(f"{s.prefix}:leader", "me", 60),
    "resign": lambda s: leader_calls.resign(f"{s.prefix}:leader", "other"),
    "pause": lambda s: calls.pause(s.prefix, s.now),
    "place": lambda s: calls.place(s.prefix, "held"),
    "promote": lambda s: calls.promote(s.prefix, s.now, 100),
    "purge": lambda s: calls.purge(s.prefix, "ready", 100),
    "read": lambda s: calls.read(s.prefix, offset=0, limit=10),
    "reclaim": lambda s: calls.reclaim(s.prefix, s.now, 100),
    "relay": lambda s: calls.relay(
        s.prefix, s.now, f"{s.prefix}:relayed:1", [b"job", s.prefix.encode(), b"next", b"{}", b"priority=7"]
    ),
    "release": lambda s: calls.release(s.prefix, s.now, s.request, [Release(s.held)]),
    "requeue": lambda s: calls.requeue(s.prefix, s.now, s.request, ["dead"], False),
    "reserve": lambda s: calls.reserve(s.prefix, s.now, s.request, 60, 10, False),
    "resume": lambda s: calls.resume(s.prefix),
    "stats": lambda s: calls.stats(s.prefix, s.now),
    "waiting_effects": lambda s: calls.waiting_effects(s.prefix, 10),
}
"""A call of each script that writes as much as it can."""
