"""kombu, and Celery as it comes, on a Redis Cluster of three nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kombu
import kombu.pidbox
import pytest
from redis.crc import key_slot

from svcjobs._redis.names import queue_prefix
from svcjobs.errors import ConfigurationError, QueueUnavailable
from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.connection import Connection
from svcjobs_celery_compat.transport.server import nodes_of
from svcjobs_celery_compat.worker.server_url import server_url
from tests.compat.transport.celery_fleet import CeleryFleet
from tests.compat.transport.kombu_client import OpenConnection, consuming, get, send
from tests.eventually import eventually
from tests.ports import free_port
from tests.server_program import ServerProgram
from tests.servers import Cluster, RedisServer, start_cluster


def url_of(cluster: Cluster) -> str:
    return ";".join(f"svcjobs-cluster://127.0.0.1:{node.port}" for node in cluster.nodes)


@pytest.fixture
def broker_url(cluster: Cluster) -> str:
    return url_of(cluster)


@pytest.fixture
def names(options: dict[str, Any]) -> list[str]:
    """A queue on each node."""
    found: dict[int, str] = {}
    for number in range(1000):
        prefix = queue_prefix(f"q{number}", f"{options['global_keyprefix']}jobs")
        found.setdefault(key_slot(prefix.encode()) * 3 // 16384, f"q{number}")
    return [found[node] for node in range(3)]


@pytest.mark.alone
@pytest.mark.scenario(16)
def test_one_consumer_of_queues_on_all_nodes_is_woken_by_each(opened: OpenConnection, names: list[str]) -> None:
    connection, producer = opened(), opened()
    got: list[Any] = []
    with connection.Consumer([kombu.Queue(name) for name in names], on_message=got.append, prefetch_count=10):
        for name in names:
            send(producer, f"at once in {name}", queue=name)
            connection.drain_events(timeout=5)
        for name in reversed(names):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
            sender = threading.Timer(0.2, send, (producer, f"later in {name}"), {"queue": name})
            sender.start()
            began = time.monotonic()
            connection.drain_events(timeout=5)
            assert time.monotonic() - began < 1.5, "it isn't found by looking every two seconds"
            sender.join()
        assert [message.payload for message in got] == [
            *(f"at once in {name}" for name in names), *(f"later in {name}" for name in reversed(names)),
        ]  # fmt: skip
        for message in got:
            message.ack()
    queues = connection.default_channel.queues
    assert [queues.named(name).stats().totals["acked"] for name in names] == [2, 2, 2]


def test_priorities_requeues_and_rejects(opened: OpenConnection) -> None:
    connection = opened()
    for priority in (9, 3, 0, 6):
        send(connection, priority, priority=priority)
    messages = [get(connection) for _ in range(4)]
    assert [message.payload for message in messages] == [0, 3, 6, 9]
    messages[0].requeue()
    messages[1].reject()
    again = get(connection)
    assert (again.payload, again.delivery_info["redelivered"]) == (0, True)
    for message in (again, *messages[2:]):
        message.ack()
    stats = connection.default_channel.queues.named("q").stats()
    assert (stats.ready, stats.in_flight, stats.dead) == (0, 0, 1)


def test_a_queue_expires_and_is_deleted(opened: OpenConnection) -> None:
    connection = opened()
    channel = connection.default_channel
    kombu.Queue("short", channel=channel, expires=3).declare()
    send(connection, "a", queue="short")
    kombu.Queue("kept", channel=channel).declare()
    send(connection, "a", "b", queue="kept")
    assert channel.queue_declare("kept", passive=True).message_count == 2

    def gone() -> bool:
        return not channel._has_queue("short")

    eventually(gone)
    channel.queue_delete("kept")
    assert not channel._has_queue("kept")


@pytest.mark.scenario(16)
def test_broadcasts_of_several_exchanges_reach_all_who_listen(opened: OpenConnection) -> None:
    one, other, producer = opened(), opened(), opened()
    exchanges = [kombu.Exchange(f"news{number}", "fanout") for number in range(4)]
    got: dict[str, list[Any]] = {"one": [], "other": []}

    def listen(connection: Any, who: str) -> Any:
        queues = [kombu.Queue(f"{who}.{exchange.name}", exchange, auto_delete=True) for exchange in exchanges]
        return connection.Consumer(queues, on_message=lambda message: got[who].append(message.payload), no_ack=True)

    with listen(one, "one"), listen(other, "other"):
        for exchange in exchanges:
            producer.Producer().publish(exchange.name, exchange=exchange, declare=[exchange])
        for connection, who in ((one, "one"), (other, "other")):
            while len(got[who]) < 4:
                connection.drain_events(timeout=20)
    assert sorted(got["one"]) == sorted(got["other"]) == [f"news{number}" for number in range(4)]


def test_a_mailbox_is_asked_and_answers(opened: OpenConnection) -> None:
    connection, asking = opened(), opened()
    mailbox = kombu.pidbox.Mailbox("post", type="fanout", accept=["json"])
    node = mailbox.Node("n1", state={}, handlers={"double": lambda state, number: 2 * number})
    node.channel = connection.channel()
    asked = mailbox(asking)
    with node.listen():
        answers: list[Any] = []
        caller = threading.Thread(
            target=lambda: answers.extend(asked.call(["n1"], "double", {"number": 21}, timeout=20))
        )
        caller.start()
        connection.drain_events(timeout=20)
        caller.join(20)
    assert answers == [{"n1": 42}]


def move(cluster: Cluster, prefix: str) -> None:
    """Move a queue's slot, with what is in it, to another node."""
    slot = key_slot(prefix.encode())
    source, target = cluster.nodes[slot * 3 // 16384], cluster.nodes[(slot * 3 // 16384 + 1) % 3]
    clients = [node.client(decode_responses=True) for node in (target, source)]
    target_id, source_id = [client.execute_command("CLUSTER MYID") for client in clients]
    clients[0].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
    clients[1].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
    while keys := clients[1].execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
        clients[1].execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for node in [target, source, *cluster.nodes]:
        node.client().execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)


def waits_of(cluster: Cluster) -> int:
    """How often the nodes were asked to let somebody wait, in vain or not."""
    stats: list[dict[str, int]] = [
        node.client().info("commandstats").get("cmdstat_blpop", {}) for node in cluster.nodes
    ]
    return sum(found.get("calls", 0) + found.get("rejected_calls", 0) for found in stats)


@pytest.fixture(scope="module")
def moving_cluster(server_program: ServerProgram) -> Iterator[Cluster]:
    """Nodes of these tests' own, whose slots move."""
    with closing(start_cluster(3, server_program)) as cluster:
        yield cluster


def test_a_consumer_goes_on_when_its_slot_moves(moving_cluster: Cluster) -> None:
    with kombu.Connection(url_of(moving_cluster)) as connection, kombu.Connection(url_of(moving_cluster)) as producer:
        exchange = kombu.Exchange("news", "fanout")
        heard: list[Any] = []
        news = connection.Consumer(
            kombu.Queue("news.one", exchange, auto_delete=True), on_message=heard.append, no_ack=True
        )
        with consuming(connection, no_ack=True) as got, news:
            for number in range(2):
                send(producer, number)
                connection.drain_events(timeout=20)
                with pytest.raises(TimeoutError):
                    connection.drain_events(timeout=0.1)
                for prefix in ("jobs:{q}", "{jobs}") if number == 0 else ():
                    move(moving_cluster, prefix)
            producer.Producer().publish("heard", exchange=exchange, declare=[exchange])
            connection.drain_events(timeout=20)
            waits = waits_of(moving_cluster)
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=1)
        assert [message.payload for message in got] == [0, 1]
        assert [message.payload for message in heard] == ["heard"]
        assert waits_of(moving_cluster) - waits <= 3, "it asks the node that has the slot now"


@pytest.mark.alone
def test_urls_that_cannot_be_used_say_why(redis_server: RedisServer) -> None:
    began = time.monotonic()
    with pytest.raises(QueueUnavailable):
        kombu.Connection(
            f"svcjobs-cluster://127.0.0.1:{free_port()};svcjobs-cluster://127.0.0.1:{free_port()}"
        ).connect()
    assert time.monotonic() - began < 5
    with pytest.raises(ConfigurationError, match="only database 0"):
        kombu.Connection("svcjobs-cluster://127.0.0.1:1/2").connect()
    with pytest.raises(QueueUnavailable, match="Cluster mode is not enabled"):
        kombu.Connection(f"svcjobs-cluster://127.0.0.1:{redis_server.port}").connect()


def test_the_facades_url_names_all_nodes(cluster: Cluster) -> None:
    ports = [node.port for node in cluster.nodes]
    hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), *ports))
    with Connection(f"redis+cluster://{hosts}") as connection:
        connection.connect()
        assert server_url(connection) == f"redis+cluster://{hosts}"
    with_tls = Connection(["rediss+cluster://user:s%2Bcret@one:7000,two"])
    ipv6 = Connection("redis+cluster://one:7000,[::1]:7001")
    assert with_tls.ssl
    assert server_url(with_tls) == "rediss+cluster://user:s%2Bcret@one:7000,two:6379"
    assert nodes_of(ipv6) == [("one", 7000), ("::1", 7001)]


@pytest.fixture
def fleet(redis_server: RedisServer, broker_url: str, options: dict[str, Any], tmp_path: Path) -> Iterator[CeleryFleet]:
    made = CeleryFleet(
        tmp_path,
        broker_url,
        redis_server.url,
        broker_transport_options=options | {"visibility_timeout": 3},
        result_backend_transport_options={"global_keyprefix": options["global_keyprefix"]},
    )
    yield made
    made.close()


@pytest.mark.scenario(16)
@pytest.mark.scenario(2)
@pytest.mark.timeout(240)
def test_celery_as_it_comes_runs_on_a_cluster(fleet: CeleryFleet, cluster: Cluster, options: dict[str, Any]) -> None:
    worker = fleet.start(concurrency=2)
    assert fleet.app.send_task("add", (1, 2)).get(timeout=30) == 3
    assert fleet.app.send_task("again").get(timeout=30) == "done"
    assert fleet.app.send_task("add", (3, 4), countdown=1).get(timeout=30) == 7
    eventually(lambda: fleet.app.control.ping(timeout=2) == [{"worker0@here": {"ok": "pong"}}])
    waiting = fleet.app.send_task("add", (5, 6), countdown=600)
    told = eventually(lambda: fleet.app.control.inspect(timeout=2).scheduled())
    scheduled = told["worker0@here"]
    assert [entry["request"]["id"] for entry in scheduled] == [waiting.id]
    for number in range(300):
        fleet.app.send_task("step", (number,))
    fleet.noted("step 20")
    fleet.kill(worker)
    fleet.start(concurrency=2)
    queue = RedisJobQueue(cluster.client(), prefix=f"{options['global_keyprefix']}jobs:{{celery}}")
    eventually(lambda: {f"step {number}" for number in range(300)} <= set(fleet.notes), 60)
    eventually(lambda: not (queue.stats().ready or queue.stats().in_flight), 30)
    queue.close()
