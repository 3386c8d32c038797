"""Dramatiq: it has no call for many jobs."""

from __future__ import annotations

from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.contenders import Payload
from benchmarks.jobs import server_url, work

# it looks after lost messages at one of a thousand calls, which an idle worker makes within minutes only
broker = RedisBroker(url=server_url(), heartbeat_timeout=5000, maintenance_chance=20_000)
dramatiq.set_broker(broker)
actor = dramatiq.actor(work)


class Dramatiq:
    """An actor of Dramatiq."""

    def worker(self, number: int) -> Sequence[str]:
        return ("dramatiq", __name__, "--processes", "1", "--threads", "8")

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            actor.send(**payload)

    enqueue_many = enqueue


CONTENDER = Dramatiq()
