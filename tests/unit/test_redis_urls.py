"""Redis URLs: what is taken, what is refused, and that no password is ever shown."""

from __future__ import annotations

import pytest
from redis import Redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.urls import connect, connect_async, mask, parse
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
    ],
)
def test_masking(url: str, shown: str) -> None:
    assert mask(url) == shown


def test_a_parsed_url_shows_no_password() -> None:
    url = parse("redis+sentinel://u:sekret@one/m?sentinel_password=s3ntinel")
    assert not any(password in f"{url} {url!r}" for password in PASSWORDS)


@pytest.mark.parametrize("option", ["foo=bar", "ssl_cert_reqs=none"])
def test_an_option_that_connections_do_not_have_is_named_before_the_first_one(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"option of the Redis URL .*{option.partition('=')[0]}"):
        parse(f"redis://user:secret@localhost:6379/0?{option}")


@pytest.mark.parametrize("name", ["none", "optional", "required"])
def test_celerys_names_of_how_a_certificate_is_checked_are_known(name: str) -> None:
    url = parse(f"rediss://localhost/0?ssl_cert_reqs=CERT_{name.upper()}")
    assert connect(url).get_connection_kwargs()["ssl_cert_reqs"] == name
    with pytest.raises(ConfigurationError, match="can't be used"):
        parse("rediss://localhost/0?ssl_cert_reqs=CERT_MAYBE")
