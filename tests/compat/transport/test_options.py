"""The transport options: each does what it says, and bears kombu's name where its Redis transport has one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from kombu.transport.redis import SentinelChannel
from kombu.transport.virtual.base import UndeliverableWarning

from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.transport.options import read_options
from svcjobs_celery_compat.transport.server import sentinel_client, tcp_client
from tests.compat.transport.kombu_client import OpenConnection, get, send
from tests.server_program import ROOT
from tests.servers import RedisServer


class Credentials(redis.CredentialProvider):
    """As a user's own would be."""

    def get_credentials(self) -> tuple[str]:
        return ("secret",)


def served(connection: kombu.Connection, *names: str) -> list[str]:
    """The queues of four messages, in the order in which a consumer that takes one at a time gets them."""
    got: list[Any] = []
    with connection.Consumer([kombu.Queue(name) for name in names], on_message=got.append, prefetch_count=1):
        for _ in range(4):
            connection.drain_events(timeout=5)
            got[-1].ack()
    return [message.delivery_info["routing_key"] for message in got]


def test_every_option_of_kombus_redis_transport_is_spoken_of() -> None:
    text = Path(ROOT, "docs", "transport.md").read_text()
    told = set(re.findall(r"`(\w+)(?:: false)?`", text.split("## Options")[1].split("\n## ")[0]))
    theirs = {name for name in SentinelChannel.from_transport_options if not name.startswith("unacked_")}
    assert theirs - told == set()
    assert "`unacked_*`" in text


@pytest.mark.parametrize(
    "bad",
    [{"visibility_timeout": 0}, {"max_attempts": "many"}, {"priority_steps": [0, 10]}, {"ack_emulation": False},
     {"socket_timeout": -1}],
    ids=str,
)  # fmt: skip
def test_options_that_cant_be_used_are_refused(broker_url: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(bad))):
        kombu.Connection(broker_url, transport_options=bad).connect()


def test_a_prefix_of_ones_own(opened: OpenConnection, redis_client: redis.Redis, prefix: str) -> None:
    connection = opened(prefix="mine")
    send(connection, "a")
    assert redis_client.exists(f"{prefix}-mine:{{q}}:ready")
    assert get(connection).payload == "a"


def test_priority_steps_are_those_of_kombu(opened: OpenConnection, redis_server: RedisServer, prefix: str) -> None:
    steps = {"priority_steps": [0, 2, 7]}
    theirs = kombu.Connection(redis_server.url, transport_options=steps | {"global_keyprefix": prefix})
    orders = []
    for connection in (theirs, opened(**steps)):
        with connection:
            for priority in range(9, -1, -1):
                send(connection, priority, priority=priority)
            messages = [get(connection) for _ in range(10)]
            for message in messages:  # else kombu gives it back when it closes, on a connection that it leaves open
                message.ack()
            orders.append([message.payload for message in messages])
    assert orders[0] == orders[1] == [1, 0, 6, 5, 4, 3, 2, 9, 8, 7]


@pytest.mark.parametrize(
    ("strategy", "order"),
    [("priority", ["b", "b", "a", "a"]), ("sorted", ["a", "a", "b", "b"]), ("round_robin", ["b", "a", "b", "a"])],
)
def test_which_queue_is_served_first(opened: OpenConnection, strategy: str, order: list[str]) -> None:
    connection = opened(queue_order_strategy=strategy)
    for name in ("a", "b"):
        send(connection, 1, 2, queue=name)
    assert served(connection, "b", "a") == order


def test_what_no_binding_takes_goes_to_the_deadletter_queue(opened: OpenConnection) -> None:
    connection = opened(deadletter_queue="lost")
    exchange = kombu.Exchange("nobody", type="direct")
    with pytest.warns(UndeliverableWarning):
        connection.Producer().publish("a", exchange=exchange, routing_key="nowhere", declare=[exchange])
    assert get(connection, "lost").payload == "a"


@pytest.mark.parametrize(("given", "key"), [(True, "/0.fan"), (False, "fan"), ("all.{db}.", "all.0.fan")], ids=str)
def test_a_fanout_exchange_has_its_prefix(
    opened: OpenConnection, redis_client: redis.Redis, prefix: str, given: Any, key: str
) -> None:
    fan = kombu.Exchange("fan", type="fanout")
    opened(fanout_prefix=given).Producer().publish("a", exchange=fan, declare=[fan])
    assert redis_client.exists(f"{prefix}-jobs:kombu:fanout:{key}")


@pytest.mark.server
def test_a_credential_provider_logs_in() -> None:
    with RedisServer(password="secret") as server:
        for provider in (Credentials(), f"{__name__}:Credentials"):
            options = {"credential_provider": provider}
            with kombu.Connection(f"svcjobs://127.0.0.1:{server.port}", transport_options=options) as connection:
                send(connection, "a")
                assert get(connection).payload == "a"


def test_options_reach_the_connections() -> None:
    given = {
        "client_name": "mine", "socket_timeout": 5.0, "socket_connect_timeout": 4.0, "socket_keepalive": True,
        "socket_keepalive_options": {1: 2}, "health_check_interval": 9,
    }  # fmt: skip
    client = tcp_client(kombu.Connection("svcjobs://me:word@h:7/3"), read_options(given))
    found = client.connection_pool.connection_kwargs
    where = {"username": "me", "password": "word", "host": "h", "port": 7, "db": 3}
    assert {name: found[name] for name in given | where} == given | where
    with pytest.raises(ConfigurationError, match="database"):
        tcp_client(kombu.Connection("svcjobs://h/name"), read_options({}))


def test_options_reach_the_sentinels() -> None:
    given = {"master_name": "main", "min_other_sentinels": 2, "sentinel_kwargs": {"password": "word"}}
    urls = "svcjobs-sentinel://a:1;svcjobs-sentinel://b"
    client = sentinel_client(kombu.Connection(urls, transport_options=given), read_options(given))
    pool = client.connection_pool
    assert pool.service_name == "main"
    assert pool.sentinel_manager.min_other_sentinels == 2
    found = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in found] == [("a", 1, "word"), ("b", 26379, "word")]
