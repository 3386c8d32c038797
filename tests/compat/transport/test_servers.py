"""Each kind of URL reaches its server, and connections that break are made anew."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis

from svcjobs.errors import ConfigurationError, CredentialsRefused, QueueUnavailable
from svcjobs_celery_compat.transport.options import read_options
from svcjobs_celery_compat.transport.server import tcp_client, tls_client
from tests.compat.transport.certificates import Certificates, make_certificates
from tests.compat.transport.kombu_client import OpenConnection, consuming, get, send
from tests.eventually import eventually
from tests.ports import free_port
from tests.servers import RedisServer, start_replica, start_sentinel

pytestmark = pytest.mark.server


def round_trip(url: str, **options: Any) -> None:
    with kombu.Connection(url, transport_options=options) as connection:
        exchange(connection)


def exchange(connection: kombu.Connection) -> None:
    send(connection, "a")
    with consuming(connection) as got:
        connection.drain_events(timeout=5)
        got[0].ack()
    assert [message.payload for message in got] == ["a"]


def drain(connection: kombu.Connection, times: int) -> None:
    for _ in range(times):
        connection.drain_events(timeout=5)


def test_a_unix_socket() -> None:
    with RedisServer(unix_socket=True) as server:
        path = str(server.socket_path)
        round_trip(f"svcjobs-unix://{path}")
        round_trip(f"svcjobs-unix://{path.replace('/', '%2F')}/3")
        assert server.client(db=3).exists("jobs:{q}:seq")
        assert server.client().exists("jobs:{q}:seq")


def test_a_password_and_a_database() -> None:
    with RedisServer(password="se+cret") as server:
        round_trip(f"svcjobs://:se%2Bcret@127.0.0.1:{server.port}/2")
        with redis.Redis(port=server.port, password="se+cret", db=2) as client:
            assert client.exists("jobs:{q}:seq")
        wrong = kombu.Connection(f"svcjobs://:wrong-one@127.0.0.1:{server.port}/2")
        with pytest.raises(CredentialsRefused, match=r"(?i)auth|password") as refused:
            wrong.connect()
        assert "wrong-one" not in str(refused.value)
        # as with redis://, Celery goes on trying: the password may be the one that comes into force in a minute
        assert isinstance(refused.value, wrong.connection_errors)


def test_a_password_that_the_server_does_not_ask_for() -> None:
    with RedisServer() as server:
        with kombu.Connection(f"svcjobs://:needless@127.0.0.1:{server.port}/0") as connection:
            sender = threading.Timer(0.3, send, [connection.clone(), "a"])
            sender.start()
            with consuming(connection) as got:
                connection.drain_events(timeout=20)  # it listens: the queue is empty
            sender.join()
        assert [message.payload for message in got] == ["a"]


@pytest.mark.timeout(180)
def test_sentinel_and_its_failover() -> None:
    with RedisServer() as primary:
        replica, sentinel = start_replica(primary), start_sentinel(primary)
        try:
            urls = f"svcjobs-sentinel://127.0.0.1:{free_port()};svcjobs-sentinel://127.0.0.1:{sentinel.port}"
            with kombu.Connection(urls, transport_options={"master_name": "mymaster"}) as connection:
                send(connection, "before")
                client = sentinel.client()
                eventually(lambda: client.execute_command("SENTINEL REPLICAS mymaster"))
                eventually(lambda: replica.client().exists("jobs:{q}:seq"))
                primary.kill()

                def sent() -> bool:
                    try:
                        send(connection, "after")
                    except connection.connection_errors:
                        return False
                    return True

                eventually(sent, 40)
                assert {get(connection).payload, get(connection).payload} == {"before", "after"}
        finally:
            sentinel.close()
            replica.close()


def test_sentinel_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="master_name"):
        kombu.Connection("svcjobs-sentinel://127.0.0.1").connect()


def test_tls_checks_certificates_unless_it_is_told_not_to() -> None:
    options = read_options({})
    for url, checks in (("svcjobs-tls://h", True), ("svcjobs-tls://h?ssl_cert_reqs=CERT_NONE", False)):
        client = tls_client(kombu.Connection(url), options)
        made = client.connection_pool.make_connection()
        assert isinstance(made, redis.SSLConnection)
        assert made.cert_reqs is (ssl.CERT_REQUIRED if checks else ssl.CERT_NONE)
        assert made.check_hostname is checks
    through_celery = tcp_client(kombu.Connection("svcjobs://h", ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED}), options)
    assert isinstance(through_celery.connection_pool.make_connection(), redis.SSLConnection)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Certificates]]:
    """The port of a server that speaks TLS there, and its certificates."""
    made, port = make_certificates(tmp_path), free_port()
    settings = {"tls-port": str(port), "tls-auth-clients": "no"}
    files = {"tls-cert-file": made.certificate, "tls-key-file": made.key, "tls-ca-cert-file": made.authority}
    server = RedisServer(config=settings | {name: str(path) for name, path in files.items()})
    try:
        server.start()
    except RuntimeError as error:
        if "'tls-port" not in str(error):
            raise
        pytest.skip(f"{server.program} was built without TLS")
    with server:
        yield port, made


def test_a_server_with_tls(tls_server: tuple[int, Certificates]) -> None:
    port, made = tls_server
    trusted = {"ssl_ca_certs": str(made.authority)}
    urls = {
        f"svcjobs-tls://127.0.0.1:{port}/0?ssl_ca_certs={made.authority}": {},
        f"svcjobs-tls://localhost:{port}/0?ssl_cert_reqs=none": {},
        f"svcjobs-tls://localhost:{port}": {"ssl": trusted},
        f"svcjobs://localhost:{port}": {"ssl": trusted | {"ssl_cert_reqs": ssl.CERT_REQUIRED}},
    }
    for url, further in urls.items():
        with kombu.Connection(url, **further) as connection:
            exchange(connection)
    with pytest.raises(QueueUnavailable, match="certificate"):
        kombu.Connection(f"svcjobs-tls://localhost:{port}").connect()
    with pytest.raises(QueueUnavailable):
        kombu.Connection(f"svcjobs://localhost:{port}").connect()


def test_a_dead_server_is_an_error_within_a_bounded_time(invalid_connection: kombu.Connection) -> None:
    with pytest.raises(QueueUnavailable):
        invalid_connection.connect()


def test_a_channel_is_on_the_server_that_was_failed_over_to(failover_connection: kombu.Connection) -> None:
    got: list[Any] = []
    with failover_connection as connection:
        channel = connection.channel()  # kombu asks the first server's transport for it, and connects to the second
        connection.Producer(channel).publish("a", routing_key="q")
        with connection.Consumer(kombu.Queue("q"), channel=channel, on_message=got.append, no_ack=True):
            connection.drain_events(timeout=5)
    assert [message.payload for message in got] == ["a"]


def test_a_consumer_goes_on_when_its_connections_are_cut(opened: OpenConnection, redis_client: redis.Redis) -> None:
    connection, producer = opened(), opened()
    with consuming(connection, no_ack=True) as got:
        for number in range(3):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
            redis_client.client_kill_filter(_type="normal", skipme=True)
            sender = threading.Timer(0.2, send, (producer, number))
            sender.start()
            connection.drain_events(timeout=20)
            sender.join()
    assert [message.payload for message in got] == [0, 1, 2]


def test_a_link_whose_answer_is_long_overdue_is_made_anew(opened: OpenConnection) -> None:
    connection, producer = opened(), opened()
    with consuming(connection, no_ack=True) as got:
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        link = connection.default_channel.intake._lanes[0].listener
        dead, link._late_at = link._connection, time.monotonic() - 1
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert link._connection is not dead
        send(producer, "a")
        connection.drain_events(timeout=5)
    assert [message.payload for message in got] == ["a"]


@pytest.fixture
def connect_to(own_server: RedisServer) -> Iterator[Callable[[], kombu.Connection]]:
    """Opens connections whose leases last 8 s; they know after 1.2 s that the server is away."""
    opened: list[kombu.Connection] = []

    def connect() -> kombu.Connection:
        options = {"visibility_timeout": 8, "socket_timeout": 0.4}
        opened.append(kombu.Connection(f"svcjobs://127.0.0.1:{own_server.port}", transport_options=options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


def lose(connection: kombu.Connection, server: RedisServer) -> None:
    """Let the server be away until the connection knows, and let that be given up, as Celery does."""
    server.kill()
    with pytest.raises(connection.connection_errors):
        get(connection)
    connection.collect()
    server.restart()


def nothing_for(seconds: float, connection: kombu.Connection) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if get(connection):
            return False
    return True


def test_a_message_in_use_outlives_its_connection(
    own_server: RedisServer, connect_to: Callable[[], kombu.Connection]
) -> None:
    connection, other = connect_to(), connect_to()
    send(connection, "a", "b")
    with consuming(connection, prefetch_count=2) as got:
        drain(connection, 2)
        got.pop().requeue()
        lose(connection, own_server)
    get(other).ack()  # the one that was requeued
    assert nothing_for(9, other)
    got[0].ack()
    counters = own_server.client().hgetall("jobs:{q}:counters")
    assert counters[b"acked"] == b"2"
    assert b"reclaimed" not in counters
    assert b"stale" not in counters


def test_a_message_in_use_outlives_a_connection_that_is_given_up_for_another_reason(
    own_server: RedisServer, connect_to: Callable[[], kombu.Connection]
) -> None:
    connection, other = connect_to(), connect_to()
    send(connection, "a")
    message = get(connection)
    connection.collect()  # as when something else than a fetch has failed
    assert nothing_for(5, other)
    message.ack()
    counters = own_server.client().hgetall("jobs:{q}:counters")
    assert counters[b"acked"] == b"1"
    assert b"reclaimed" not in counters


def test_a_message_that_nobody_has_after_its_connection_was_lost_is_given_back(
    own_server: RedisServer, connect_to: Callable[[], kombu.Connection]
) -> None:
    connection, other = connect_to(), connect_to()
    send(connection, "handed out", "fetched")
    with consuming(connection, prefetch_count=2) as got:
        drain(connection, 1)
        got.clear()
        lose(connection, own_server)
    again = [eventually(lambda: get(other)) for _ in range(2)]
    assert {message.payload for message in again} == {"handed out", "fetched"}
    assert not any("redelivered" in message.delivery_info for message in again)
    assert own_server.client().hget("jobs:{q}:counters", "released") == b"2"


def test_an_ack_while_the_server_is_away_is_sent_when_it_is_back(
    own_server: RedisServer, connect_to: Callable[[], kombu.Connection]
) -> None:
    connection = connect_to()
    send(connection, "a")
    message = get(connection)
    own_server.kill()
    message.ack()
    own_server.restart()
    client = own_server.client()
    eventually(lambda: client.hget("jobs:{q}:counters", "acked") == b"1")
    assert client.llen("jobs:{q}:processing") == 0


def test_what_is_held_while_the_server_is_away_can_be_acked_afterwards(own_server: RedisServer) -> None:
    connection = kombu.Connection(f"svcjobs://127.0.0.1:{own_server.port}")
    send(connection, "a", "b")
    with consuming(connection, prefetch_count=2) as got:
        connection.drain_events(timeout=5)
        connection.drain_events(timeout=5)
        got[1].requeue()
        own_server.kill()
        with pytest.raises(connection.connection_errors):
            drain(connection, 3)
        connection.collect()
    own_server.restart()
    got[0].ack()
    client = own_server.client()
    assert client.hget("jobs:{q}:counters", "acked") == b"1"
    assert client.llen("jobs:{q}:processing") == 0
    assert client.llen("jobs:{q}:ready") == 1
