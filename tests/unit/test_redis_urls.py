"""Redis URLs: what is taken, what is refused, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from redis import Redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.urls import connect, connect_async, mask, parse
from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.errors import ConfigurationError, QueueUnavailable
from svcjobs.redis_queue import RedisJobQueue

PASSWORDS = ("sekret", "s3ntinel")


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "rediss://user:sekret@host:6380/1?socket_timeout=3",
        "redis://host",
        "unix:///tmp/redis.sock?db=2",
    ],
)
def test_a_plain_url_is_left_to_redis_py(url: str) -> None:
    parsed = parse(url)
    assert (parsed.kind, parsed.text) == ("plain", url)
    connect(parsed).close()


def test_a_sentinel_url_names_hosts_service_and_database() -> None:
    url = parse("redis+sentinel://u:sekret@one,two:26380/mymaster/3?sentinel_password=s3ntinel&socket_timeout=1.5")
    assert url.kind == "sentinel"
    assert url.nodes == (("one", 26379), ("two", 26380))
    assert url.service == "mymaster"
    assert url.options == {"username": "u", "password": "sekret", "db": 3, "socket_timeout": 1.5}
    assert url.sentinel_options == {"password": "s3ntinel", "socket_timeout": 1.5}
    client = connect(url)
    assert client.connection_pool.service_name == "mymaster"
    assert client.connection_pool.connection_kwargs["password"] == "sekret"
    client.close()


def test_tls_reaches_the_server_and_the_sentinels() -> None:
    url = parse("rediss+sentinel://one/mymaster")
    assert url.options == url.sentinel_options == {"ssl": True}


def test_a_cluster_url_names_nodes_of_ipv6_too() -> None:
    url = parse("rediss+cluster://:sekret@one:7000,[::1]:7001,three")
    assert url.kind == "cluster"
    assert url.nodes == (("one", 7000), ("::1", 7001), ("three", 6379))
    assert url.options == {"password": "sekret", "ssl": True}


async def test_async_clients_connect_when_used() -> None:
    for text in ("redis://nowhere", "redis+sentinel://nowhere/m", "redis+cluster://nowhere:7000"):
        await connect_async(parse(text)).aclose()


def test_a_cluster_that_is_away_is_unavailable() -> None:
    with pytest.raises(QueueUnavailable) as caught:
        connect(parse("redis+cluster://:sekret@127.0.0.1:1/"))
    assert "sekret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RedisClusterException)


def test_a_cluster_that_went_away_is_unavailable_to_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(client: object, socket_timeout: float) -> object:
        raise RedisClusterException("no node answers")

    monkeypatch.setattr("svcjobs._redis.link.derive", derive)
    queue = RedisJobQueue(Redis(), timeout_seconds=0.1)
    with pytest.raises(QueueUnavailable, match="no node answers"):
        queue.enqueue("greet")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://x.upstash.io", "redis://, rediss://, or unix://"),
        ("localhost:6379", "redis://, rediss://, or unix://"),
        ("", "redis://, rediss://, or unix://"),
        ("redis://:sekret@host:port/0", "port"),
        ("redis://:sek@sekret@host/x", "database 'x'"),
        ("redis://:a/sekret@host/0", "%2F"),
        ("redis://user:p?sekret@host:1/0", "can't be read"),
        ("redis://:sekret@[::1/0", "can't be read"),
        ("redis://host/0?socket_timeout=x&password=sekret", "socket_timeout"),
        ("redis+sentinel://:sekret@host", "names no service"),
        ("redis+sentinel://:sekret@host/m/x", "database 'x'"),
        ("redis+sentinel://:sekret@host:x/m", "Port"),
        ("redis+cluster://:sekret@host/2", "only database 0"),
        ("redis+cluster://:sekret@host?db=2", "only database 0"),
        ("redis+cluster://:sekret@", "names no host"),
        ("redis+cluster://:sekret@host,:7000", "isn't host:port"),
        ("unix://", "no path"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says.replace("+", r"\+")) as caught:
        parse(url)
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host/0", "redis://host/0"),
        ("redis://user:sekret@host/0", "redis://user:***@host/0"),
        ("redis://:sek@sekret@host/0", "redis://:***@host/0"),
        ("redis://sekret@host/0", "redis://***@host/0"),
        ("redis://host/0?password=sekret&db=1", "redis://host/0?password=***&db=1"),
        ("redis+sentinel://a,b/m?sentinel_password=s3ntinel", "redis+sentinel://a,b/m?sentinel_password=***"),
        ("user:sekret@host", "user:***@host"),
        ("redis://user:se?kret@host:1/0", "redis://user:***@host:1/0"),
        ("redis://user:se?kret@host:1/0?db=1", "redis://user:***@host:1/0?db=1"),
    ],
)
def test_masking(url: str, shown: str) -> None:
    assert mask(url) == shown


def test_a_parsed_url_shows_no_password() -> None:
    url = parse("redis+sentinel://u:sekret@one/m?sentinel_password=s3ntinel")
    assert not any(password in f"{url} {url!r}" for password in PASSWORDS)


@pytest.mark.parametrize("option", ["foo=bar", "ssl_cert_reqs=none", "sentinel_foo=1", "startup_nodes=x"])
@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
def test_an_option_that_connections_do_not_have_is_named_before_the_first_one(kind: str, option: str) -> None:
    path = {"": "/0", "+sentinel": "/mymaster", "+cluster": ""}[kind]
    with pytest.raises(ConfigurationError, match=f"option of the Redis URL .*{option.partition('=')[0]}") as caught:
        parse(f"redis{kind}://user:sekret@localhost:6379{path}?{option}")
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_options_of_tls_are_checked_and_kept(kind: str) -> None:
    url = f"rediss+{kind}://one/{'m' if kind == 'sentinel' else ''}?ssl_cert_reqs="
    kept = parse(f"{url}none&max_connections=4&client_name=me").options
    assert kept == {"ssl": True, "ssl_cert_reqs": "none", "max_connections": 4, "client_name": "me"}
    with pytest.raises(ConfigurationError, match="maybe"):
        parse(f"{url}maybe")


@pytest.mark.parametrize(
    ("queue", "client", "says"),
    [
        (RedisJobQueue, redis.asyncio.Redis(), r"RedisJobQueue got a redis\.asyncio.*redis\.Redis\.from_url"),
        (AsyncRedisJobQueue, Redis(), r"AsyncRedisJobQueue got a redis\.client.*redis\.asyncio\.Redis\.from_url"),
        (RedisJobQueue, "redis://localhost", r"RedisJobQueue got a builtins\.str"),
        (AsyncRedisJobQueue, None, r"got a builtins\.NoneType"),
    ],
)
def test_a_client_of_the_wrong_kind_is_refused(queue: Any, client: object, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        queue(client)


@pytest.mark.parametrize("name", ["none", "optional", "required"])
def test_celerys_names_of_how_a_certificate_is_checked_are_known(name: str) -> None:
    url = parse(f"rediss://localhost/0?ssl_cert_reqs=CERT_{name.upper()}")
    assert connect(url).get_connection_kwargs()["ssl_cert_reqs"] == name
    with pytest.raises(ConfigurationError, match="can't be used"):
        parse("rediss://localhost/0?ssl_cert_reqs=CERT_MAYBE")


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"])
@pytest.mark.parametrize(
    "address", ["rediss://localhost/0", "rediss+sentinel://localhost/main", "rediss+cluster://localhost"]
)
def test_a_tls_file_that_is_missing_is_named(tmp_path: Path, address: str, option: str) -> None:
    file = tmp_path / "file.pem"
    with pytest.raises(ConfigurationError, match=rf"{option} of the Redis URL .* is {file}, which can't be read"):
        parse(f"{address}?{option}={file}")
    file.touch()
    parse(f"{address}?{option}={file}")
