"""Leadership on a real server."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from svcjobs.errors import CorruptKey, QueueUnavailable
from svcjobs.leadership import RedisSchedulerLeader
from tests.eventually import eventually
from tests.servers import Cluster, RedisServer


def leader(client: Any, prefix: str, owner_id: str, lease_seconds: float = 30) -> RedisSchedulerLeader:
    return RedisSchedulerLeader(client, key=f"{prefix}:leader", owner_id=owner_id, lease_seconds=lease_seconds)


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_one_leads_whatever_the_client_decodes(
    redis_server: RedisServer, prefix: str, decode: bool, protocol: int
) -> None:
    client = redis_server.client(decode_responses=decode, protocol=protocol)
    a, b = leader(client, prefix, "a"), leader(client, prefix, "b")
    assert [a.ensure_leader(), b.ensure_leader(), a.ensure_leader()] == [True, False, True]
    b.release()
    assert b.ensure_leader() is False
    a.release()
    assert b.ensure_leader() is True
    a.close()
    b.close()


@pytest.mark.alone
def test_a_leader_that_falls_silent_is_succeeded_when_its_lease_ends(redis_client: redis.Redis, prefix: str) -> None:
    took = []
    for n in range(3):
        name = f"{prefix}:{n}"
        silent, next_one = leader(redis_client, name, "silent", 0.5), leader(redis_client, name, "next")
        begun = time.monotonic()
        assert silent.ensure_leader()
        eventually(next_one.ensure_leader)
        took.append(time.monotonic() - begun)
        assert not silent.ensure_leader()
    assert 0.45 < min(took) < 1, took


def test_a_key_of_another_type_is_refused_and_kept(redis_client: redis.Redis, prefix: str) -> None:
    redis_client.rpush(f"{prefix}:leader", "x")
    with pytest.raises(CorruptKey, match="is a list, expected a string"):
        leader(redis_client, prefix, "a").ensure_leader()
    leader(redis_client, prefix, "a").release()
    assert redis_client.llen(f"{prefix}:leader") == 1


@pytest.mark.alone
def test_a_server_that_is_gone_is_a_typed_error_within_bounded_time(own_server: RedisServer, prefix: str) -> None:
    a = leader(own_server.client(), prefix, "a")
    assert a.ensure_leader()
    own_server.kill()
    for call in (a.ensure_leader, a.release):
        begun = time.monotonic()
        with pytest.raises(QueueUnavailable):
            call()
        assert time.monotonic() - begun < 2.5
    own_server.start()
    assert a.ensure_leader()
    a.close()


def test_a_cluster_keeps_a_leader(cluster: Cluster, prefix: str) -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.port)
    a, b = leader(client, prefix, "a"), leader(client, prefix, "b")
    assert [a.ensure_leader(), b.ensure_leader()] == [True, False]
    a.release()
    assert b.ensure_leader() is True
    a.close()
    b.close()
    client.close()
