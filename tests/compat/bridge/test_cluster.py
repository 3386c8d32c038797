"""`svcjobs bridge` between a plain kombu broker and a Redis Cluster."""

from __future__ import annotations

import pytest

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.queues import prefix_of
from tests.compat.bridge.brokers import OldBroker
from tests.compat.bridge.conftest import StartBridge
from tests.compat.bridge.traffic import drained, send
from tests.servers import Cluster, RedisServer


@pytest.fixture
def old(own_server: RedisServer, prefix: str) -> OldBroker:
    return OldBroker(f"redis://127.0.0.1:{own_server.port}/1", prefix)


def test_messages_move_into_a_cluster_and_back(
    old: OldBroker, start_bridge: StartBridge, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PREFIX", f"{old.queue}-root")
    there = ("--redis-url", f"redis+cluster://127.0.0.1:{cluster.port}", "--drain", "--json")
    moved = RedisJobQueue(cluster.client(), prefix=prefix_of(old.queue, f"{{{old.queue}-root}}"))
    send(old, 20)
    (counts,) = drained(start_bridge(*there))["queues"]
    assert (counts["moved"], counts["waiting"]) == (20, 0)
    assert moved.stats().ready == 20
    (counts,) = drained(start_bridge(*there, "--reverse"))["queues"]
    assert (counts["moved"], counts["waiting"]) == (20, 0)
    assert moved.stats().ready == 0
    moved.close()
