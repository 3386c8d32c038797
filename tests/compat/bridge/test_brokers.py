"""What brokers do to a bridge: they go away, order by priority, and hold messages for consumers that died."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import kombu
import pytest

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.bridge import amqp_broker
from svcjobs_celery_compat.bridge.amqp_broker import AmqpBroker
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable
from svcjobs_celery_compat.transport.wire import decode
from tests.compat.bridge.brokers import OldBroker
from tests.compat.bridge.cable import Cable
from tests.compat.bridge.conftest import StartBridge
from tests.compat.bridge.traffic import Runs, drained, send
from tests.compat.transport.certificates import make_certificates
from tests.eventually import eventually
from tests.ports import free_port
from tests.servers import RedisServer

MESSAGES = 200
only_rabbitmq = pytest.mark.parametrize("old", ["rabbitmq"], indirect=True)
only_redis = pytest.mark.parametrize("old", ["redis"], indirect=True)


@pytest.fixture
def cable(old: OldBroker) -> Iterator[Cable]:
    with Cable(urlsplit(old.url).port or 0) as cable:
        yield cable


def through(cable: Cable, old: OldBroker) -> str:
    return old.url.replace(f":{urlsplit(old.url).port}/", f":{cable.port}/")


def test_a_broker_that_goes_away_is_waited_for(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge, cable: Cable
) -> None:
    ids = send(old, MESSAGES)
    bridge = start_bridge("--json", url=through(cable, old))
    with Runs(moved) as runs:
        eventually(lambda: len(runs.ids) >= MESSAGES // 8, timeout=30)
        cable.cut()
        ids |= send(old, MESSAGES)
        cable.mend()
        eventually(lambda: set(runs.ids) == ids, timeout=40)
    assert set(runs.ids.values()) == {1}
    bridge.send_signal(signal.SIGTERM)
    assert drained(bridge)["reconnects"]["broker"] >= 1


def test_a_broker_that_goes_away_on_the_way_back_is_waited_for(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge, cable: Cable
) -> None:
    send(old, MESSAGES)
    drained(start_bridge("--drain", "--json"))
    bridge = start_bridge("--drain", "--json", "--reverse", url=through(cable, old))
    eventually(lambda: moved.stats().ready < MESSAGES, timeout=30)
    cable.cut()
    cable.mend()
    assert drained(bridge)["queues"][0]["moved"] == MESSAGES


@only_rabbitmq
def test_a_server_of_svcjobs_that_goes_away_loses_nothing(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge, own_server: RedisServer
) -> None:
    ids = send(old, MESSAGES)
    bridge = start_bridge("--json")
    eventually(lambda: moved.stats().ready >= MESSAGES // 8, timeout=30)
    own_server.kill()
    ids |= send(old, MESSAGES)
    time.sleep(4)  # longer than a call is tried
    own_server.start()
    with Runs(moved) as runs:
        eventually(lambda: set(runs.ids) == ids, timeout=40)
    assert set(runs.ids.values()) == {1}
    bridge.send_signal(signal.SIGTERM)
    assert drained(bridge)["reconnects"]["svcjobs"] >= 1


@only_rabbitmq
@pytest.mark.parametrize("beats", [True, False])
def test_a_connection_without_heartbeats_is_closed_and_one_with_them_is_kept(
    old: OldBroker, monkeypatch: pytest.MonkeyPatch, beats: bool
) -> None:
    monkeypatch.setattr(amqp_broker, "HEARTBEAT_SECONDS", 2)
    with closing(AmqpBroker(old.url, [old.queue])) as broker:
        send(old, 1)
        broker.connect()
        assert len(eventually(lambda: broker.take(1, 0.1))) == 1
        until = time.monotonic() + 10  # RabbitMQ closes after two that it misses
        while time.monotonic() < until:
            if beats:
                broker.keep_alive()
            time.sleep(0.1)
        if beats:
            assert broker.waiting() == {old.queue: 0}
        else:
            with pytest.raises(BrokerUnavailable):
                broker.waiting()


@only_redis
def test_a_restart_of_both_servers_loses_nothing(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge, own_server: RedisServer
) -> None:
    ids = send(old, MESSAGES)
    bridge = start_bridge("--drain", "--json")
    eventually(lambda: moved.stats().ready >= MESSAGES // 8, timeout=30)
    own_server.restart()
    drained(bridge)
    with Runs(moved) as runs:
        eventually(lambda: set(runs.ids) == ids, timeout=20)
    assert set(runs.ids.values()) == {1}


def test_priorities_keep_their_order(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    order = {priority: send(old, 1, priority=priority).pop() for priority in (9, 0, 3, 6)}
    drained(start_bridge("--drain", "--json"))
    found = [decode(job.payload) for job in moved.reserve_many(10)]
    if old.url.startswith("redis"):  # 0 comes first there; RabbitMQ orders only in queues that are declared so
        assert [message["headers"]["id"] for message in found] == [order[priority] for priority in (0, 3, 6, 9)]
    else:
        assert [message["headers"]["id"] for message in found] == list(order.values())


def test_what_a_consumer_held_is_moved_when_the_broker_has_it_again(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    ids = send(old, 2)
    with old.connect() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        queue = kombu.Queue(old.queue, no_declare=True)
        with kombu.Consumer(channel, [queue], callbacks=[lambda body, message: None], accept=["json"]):
            connection.drain_events(timeout=20)
            bridge = start_bridge("--drain", "--json", "--option", "visibility_timeout=1")
            eventually(lambda: moved.stats().ready >= 1, timeout=20)
            if old.url.startswith("redis"):  # which can't see whether the consumer lives
                assert drained(bridge)["queues"][0]["moved"] == 2
        if not old.url.startswith("redis"):
            assert bridge.poll() is None  # it waits for the consumer
    if old.url.startswith("redis"):
        channel.client.connection_pool.disconnect()  # kombu gives back what is held on a connection that it leaves open
    if not old.url.startswith("redis"):
        assert drained(bridge)["queues"][0]["moved"] == 2
    assert {decode(job.payload)["headers"]["id"] for job in moved.reserve_many(10)} == ids


def test_its_metrics_are_served(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    send(old, 3)
    port = free_port()
    start_bridge("--metrics-port", str(port))
    eventually(lambda: moved.stats().ready == 3, timeout=20)
    line = f'jobs_bridge_messages_total{{outcome="moved",queue="{old.queue}"}} 3.0'
    eventually(lambda: line in httpx.get(f"http://127.0.0.1:{port}/metrics").text)


@only_redis
def test_a_broker_with_tls(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge, tmp_path: Path, prefix: str
) -> None:
    made, port = make_certificates(tmp_path), free_port()
    files = {"tls-cert-file": made.certificate, "tls-key-file": made.key, "tls-ca-cert-file": made.authority}
    settings = {"tls-port": str(port), "tls-auth-clients": "no"} | {name: str(path) for name, path in files.items()}
    server = RedisServer(config=settings)
    try:
        server.start()
    except RuntimeError as error:
        if "'tls-port" not in str(error):
            raise
        pytest.skip(f"{server.program} was built without TLS")
    with server:
        send(OldBroker(server.url, prefix), 3)
        url = f"rediss://localhost:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={made.authority}"
        assert drained(start_bridge("--drain", "--json", url=url))["queues"][0]["moved"] == 3
