"""Queues: names, declarations, expiry, order; and the options of the transport."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import kombu
import pytest
import redis
from kombu.exceptions import ChannelError

from svcjobs.errors import ConfigurationError
from tests.compat.transport.kombu_client import OpenConnection, get, send
from tests.eventually import eventually
from tests.servers import RedisServer


def test_priorities_have_the_order_of_kombus_redis_transport(opened: OpenConnection, redis_server: RedisServer) -> None:
    theirs = kombu.Connection(redis_server.url, transport_options={"global_keyprefix": os.urandom(4).hex()})
    priorities = [5, 0, 9, 3, 4, 6, 1, 8, 2, 7, 0, 9, 12, -1, 3]
    orders = []
    for connection in (theirs, opened()):
        with connection:
            for number, priority in enumerate(priorities):
                send(connection, number, priority=priority)
            messages = [get(connection) for _ in priorities]
            for message in messages:  # else kombu gives it back when it closes, on a connection that it leaves open
                message.ack()
            orders.append([message.payload for message in messages])
    assert orders[0] == orders[1]


def test_an_expired_message_isnt_delivered(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, "short", expiration=0.05)
    send(connection, "task", expiration=0.05, headers={"task": "t", "expires": "2026-01-01"})
    time.sleep(0.1)
    assert get(connection).payload == "task"
    assert get(connection) is None
    assert stored().stats().dead == 0


def test_passive_declare_size_purge_and_delete(opened: OpenConnection, redis_client: redis.Redis, prefix: str) -> None:
    channel = opened().default_channel
    with pytest.raises(ChannelError):
        channel.queue_declare("q", passive=True)
    channel.queue_declare("q")
    assert channel.queue_declare("q", passive=True).message_count == 0
    send(opened(), 1, 2, 3)
    assert channel.queue_declare("q", passive=True).message_count == 3
    assert channel.queue_purge("q") == 3
    send(opened(), 4)
    channel.queue_delete("q", if_empty=True)
    assert channel.basic_get("q").payload == 4
    channel.close()
    last = opened().default_channel
    last.basic_get("q").ack()
    last.queue_delete("q")
    assert [key for key in redis_client.keys(f"{prefix}*") if b":req:" not in key] == []


def test_the_length_of_a_queue_counts_what_waits_for_its_time(opened: OpenConnection) -> None:
    connection = opened()
    send(connection, "now")
    send(connection, "later", headers={"eta": "9999-12-31T00:00:00"})
    assert connection.default_channel.queue_declare("q", passive=True).message_count == 2


def test_asking_for_a_queue_leaves_its_end_as_it_is(opened: OpenConnection, redis_client: Any, prefix: str) -> None:
    connection = opened()
    kombu.Queue("q", expires=60)(connection.default_channel).declare()
    assert opened().default_channel.queue_declare("q", passive=True).queue == "q"
    assert redis_client.pttl(f"{prefix}-jobs:{{q}}:declared") > 0


def test_a_queue_that_expires_leaves_no_key(opened: OpenConnection, redis_client: redis.Redis, prefix: str) -> None:
    connection = opened()
    queue = kombu.Queue("q", expires=4.0)(connection.default_channel)
    queue.declare()
    send(opened(), *range(3), priority=3)  # who publishes hasn't declared it
    held = get(connection)
    keys = [key for key in redis_client.keys(f"{prefix}*") if b":req:" not in key]
    assert len(keys) > 5
    assert all(0 < redis_client.pttl(key) <= 8000 for key in keys)
    del held
    eventually(lambda: not [key for key in redis_client.keys(f"{prefix}*") if b":req:" not in key])


def test_a_queue_in_use_doesnt_expire(opened: OpenConnection) -> None:
    connection = opened()
    queue = kombu.Queue("q", expires=3)
    got: list[Any] = []
    with connection.Consumer(queue, on_message=got.append, no_ack=True):
        for _ in range(2):
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=2.5)
        assert connection.default_channel.queue_declare("q", passive=True)


def test_queue_names_that_no_prefix_can_have_are_written_otherwise(opened: OpenConnection, redis_client: Any) -> None:
    connection = opened()
    for name in ("with space", "{braces}", "100%", "ünï", "jobs"):
        send(connection, name, queue=name)
    for name in ("with space", "{braces}", "100%", "ünï", "jobs"):
        assert get(connection, name).payload == name
    with pytest.raises(ConfigurationError):
        send(connection, "a", queue="")


def test_a_job_that_is_no_message_is_a_dead_letter(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    stored().enqueue("native", {"a": 1})
    send(connection, "message")
    assert get(connection).payload == "message"
    assert [job.reason for job in stored().dead()] == ["corrupt"]


def test_a_queue_whose_consumer_is_full_doesnt_expire(opened: OpenConnection) -> None:
    connection = opened()
    queue = kombu.Queue("q", expires=4)
    got: list[Any] = []
    with connection.Consumer(queue, on_message=got.append, prefetch_count=1):
        send(connection, 1, 2)
        connection.drain_events(timeout=2)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=6)
        got[0].ack()
        connection.drain_events(timeout=2)
    assert [message.payload for message in got] == [1, 2]


def test_a_queue_that_is_declared_to_stay_stays(opened: OpenConnection, redis_client: redis.Redis, prefix: str) -> None:
    connection = opened()
    kombu.Queue("q", expires=60)(connection.default_channel).declare()
    send(connection, *range(3))
    get(connection)
    kombu.Queue("q")(opened().default_channel).declare()
    keys = [key for key in redis_client.keys(f"{prefix}*") if b":req:" not in key]
    assert len(keys) > 5
    assert all(redis_client.pttl(key) == -1 for key in keys)
