"""The misbehaving network of the other tests does what it says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.eventually import eventually
from tests.proxy import RedisProxy, _frame_end
from tests.servers import RedisServer


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: RedisProxy) -> Iterator[redis.Redis]:
    """A client behind the proxy that tries nothing twice."""
    client = connect(proxy, protocol=2)
    client.ping()
    yield client
    client.close()


REPLY_SECONDS = 2.0
"""A reply that is held back takes longer; one that isn't may take as long on a busy machine."""


def connect(proxy: RedisProxy, **options: Any) -> redis.Redis:
    return redis.Redis.from_url(proxy.url, socket_timeout=REPLY_SECONDS, retry=None, **options)


def test_it_passes_everything(client: redis.Redis, prefix: str) -> None:
    value = b"\r\n$5\r\nhello" * 100_000
    client.set(prefix, value)
    assert client.get(prefix) == value
    with client.pipeline() as pipeline:
        for number in range(500):
            pipeline.rpush(f"{prefix}:list", number)
        pipeline.lrange(f"{prefix}:list", 0, -1)
        assert len(pipeline.execute()[-1]) == 500
    client.delete(prefix, f"{prefix}:list")


def test_it_passes_resp3(proxy: RedisProxy, prefix: str) -> None:
    with connect(proxy, protocol=3) as client:
        client.hset(prefix, mapping={"a": "1", "b": "2"})
        assert client.hgetall(prefix) == {b"a": b"1", b"b": b"2"}
        assert client.get(f"{prefix}:none") is None


def test_a_swallowed_reply_belongs_to_a_command_that_ran(client: redis.Redis, proxy: RedisProxy, prefix: str) -> None:
    proxy.swallow_reply()
    with pytest.raises(redis.TimeoutError):
        client.incr(prefix)
    assert proxy.swallowed == 1
    assert client.get(prefix) == b"1"


@pytest.mark.alone
def test_a_swallowed_reply_can_close_the_connection(client: redis.Redis, proxy: RedisProxy, prefix: str) -> None:
    proxy.swallow_reply(close=True)
    started_at = time.monotonic()
    with pytest.raises(redis.ConnectionError):
        client.incr(prefix)
    assert time.monotonic() - started_at < REPLY_SECONDS, "it isn't waited for"
    assert client.get(prefix) == b"1"


def test_only_the_nth_reply_is_swallowed(client: redis.Redis, proxy: RedisProxy, prefix: str) -> None:
    proxy.swallow_reply(3)
    assert client.incr(prefix) == 1
    assert client.incr(prefix) == 2
    with pytest.raises(redis.TimeoutError):
        client.incr(prefix)
    assert client.incr(prefix) == 4


def test_commands_that_do_not_match_are_not_counted(client: redis.Redis, proxy: RedisProxy, prefix: str) -> None:
    proxy.swallow_reply(2, containing=b"INCR")
    client.incr(prefix)
    client.set(f"{prefix}:other", "x", ex=60)
    assert client.get(prefix) == b"1"
    with pytest.raises(redis.TimeoutError):
        client.incr(prefix)


def test_a_reply_in_a_pipeline_is_dropped_alone(client: redis.Redis, proxy: RedisProxy, prefix: str) -> None:
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
    proxy.swallow_reply(2)
    raw.sendall(f"INCR {prefix}\r\nINCR {prefix}\r\nINCR {prefix}\r\n".encode())
    received = b""
    while len(received) < 8:
        received += raw.recv(100)
    assert received == b":1\r\n:3\r\n"
    raw.close()


@pytest.mark.alone
def test_a_delay_holds_replies(client: redis.Redis, proxy: RedisProxy) -> None:
    proxy.delay(100)
    started_at = time.monotonic()
    client.ping()
    assert time.monotonic() - started_at >= 0.1
    proxy.pass_through()
    took = []
    for _ in range(5):
        started_at = time.monotonic()
        client.ping()
        took.append(time.monotonic() - started_at)
    assert min(took) < 0.1, took


def test_a_black_hole_delivers_late(
    client: redis.Redis, proxy: RedisProxy, redis_client: redis.Redis, prefix: str
) -> None:
    proxy.black_hole()
    with pytest.raises(redis.TimeoutError):
        client.incr(prefix)
    with connect(proxy) as late, pytest.raises(redis.TimeoutError):
        late.ping()
    assert redis_client.get(prefix) is None
    proxy.pass_through()
    assert eventually(lambda: redis_client.get(prefix)) == b"1"
    assert client.ping()


def test_refused_connections_come_back_on_the_same_port(client: redis.Redis, proxy: RedisProxy) -> None:
    proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    proxy.pass_through()
    assert client.ping()


def test_a_cut_resets_what_is_open(proxy: RedisProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        assert proxy.connections == 1
        proxy.cut()
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError):
            raw.recv(100)
    with connect(proxy) as client:
        assert client.ping()


def test_a_half_open_connection_is_silent_and_a_new_one_works(client: redis.Redis, proxy: RedisProxy) -> None:
    proxy.half_open()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    assert client.ping()


def test_a_server_that_is_down_resets(own_server: RedisServer) -> None:
    own_server.stop()
    with RedisProxy(own_server.port) as proxy, connect(proxy) as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()
        own_server.restart()
        assert client.ping()


@pytest.mark.parametrize(
    "frame",
    [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"(123456789012345678901234567890\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        b"%1\r\n+key\r\n*1\r\n:2\r\n",
        b"~2\r\n:1\r\n:2\r\n",
        b"|1\r\n+ttl\r\n:3\r\n+OK\r\n",
        b">2\r\n+message\r\n+x\r\n",
    ],
)
def test_a_value_ends_where_it_ends(frame: bytes) -> None:
    assert _frame_end(frame + b"+next\r\n", 0) == len(frame)
    assert all(_frame_end(frame[:cut], 0) is None for cut in range(len(frame)))
