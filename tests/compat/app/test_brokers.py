"""What a broker URL means."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.transport import memory, transport
from svcjobs_celery_compat.transport.leftovers import count_leftovers, warn_of_leftovers
from tests.servers import RedisServer


def make_app(url: str, **options: Any) -> Celery:
    return Celery("brokers", broker=url, set_as_current=False, fixups=[], broker_transport_options=options)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("svcjobs://localhost/1", transport.Transport),
        ("redis://localhost:6380/1", transport.Transport),
        ("rediss://localhost/1?ssl_cert_reqs=required", transport.TlsTransport),
        ("sentinel://a:26379;sentinel://b:26379/0", transport.SentinelTransport),
        ("redis+socket:///run/redis.sock?virtual_host=3", transport.UnixTransport),
        ("unix:///run/redis.sock?db=3", transport.UnixTransport),
        ("memory://", memory.Transport),
    ],
)
def test_urls_of_celery_mean_transports_of_svcjobs(url: str, kind: type[Any]) -> None:
    assert make_app(url).connection().get_transport_cls() is kind


def test_names_stay_what_the_user_wrote() -> None:
    connection = make_app("redis://user:secret@localhost:6380/1").connection()
    assert connection.transport_cls == "redis"
    assert connection.as_uri() == "redis://user:**@localhost:6380/1"


@pytest.mark.parametrize("url", ["redis+socket:///run/the.sock?virtual_host=3", "unix:///run/the.sock?db=3"])
def test_path_and_database_of_a_unix_socket(url: str) -> None:
    connection = make_app(url).connection()
    client = connection.transport.open_client(connection, connection.transport.options)
    settings = client.connection_pool.connection_kwargs
    assert (settings["path"], settings["db"]) == ("/run/the.sock", 3)


def test_all_sentinels_are_asked() -> None:
    connection = make_app("sentinel://a:26379;sentinel://b:26380/0", master_name="main").connection()
    client = connection.transport.open_client(connection, connection.transport.options)
    sentinels = client.connection_pool.sentinel_manager.sentinels
    hosts = [sentinel.connection_pool.connection_kwargs["host"] for sentinel in sentinels]
    assert hosts == ["a", "b"]


def test_the_pool_has_the_same_connections() -> None:
    app = make_app("redis://localhost:6380/1")
    with app.connection_or_acquire() as connection:
        assert connection.get_transport_cls() is transport.Transport
    app.close()


@pytest.mark.parametrize("url", ["amqp://guest@localhost//", "pyamqp://", "sqs://", "filesystem://", "nonsense://"])
def test_other_brokers_are_refused_when_they_are_asked_for(url: str) -> None:
    app = make_app(url)

    @app.task(shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(ImproperlyConfigured, match="set it to redis://"):
        add.delay(1, 2)
    with pytest.raises(ImproperlyConfigured, match="set it to redis://"):
        app.connection().connect()


def test_rabbitmq_is_told_of_the_bridge() -> None:
    with pytest.raises(ImproperlyConfigured, match="svcjobs bridge"):
        make_app("amqp://").connection().ensure_connection()


def test_no_broker_at_all() -> None:
    app = Celery("brokers", set_as_current=False, fixups=[])
    with pytest.raises(ImproperlyConfigured, match="not set: set it to redis://"):
        app.send_task("x")


def test_what_a_url_would_import_is_refused() -> None:
    with pytest.raises((ImproperlyConfigured, ValueError)):
        make_app("os.path://x").connection()


def test_a_transport_given_as_a_class_is_used_as_it_is() -> None:
    from kombu.transport.memory import Transport

    connection = make_app("memory://").connection(transport=Transport)
    connection.connect()
    assert type(connection.transport) is Transport
    connection.release()


@pytest.fixture
def prefix() -> str:
    return f"brokers-{uuid.uuid4().hex}"


def test_a_task_of_a_redis_url_is_a_job(redis_server: RedisServer, redis_client: redis.Redis, prefix: str) -> None:
    app = make_app(redis_server.url, prefix=prefix)

    @app.task(name="proj.add", shared=False)
    def add(x: int, y: int = 0) -> int:
        return x + y

    result = add.apply_async((1,), {"y": 2}, priority=3)
    app.close()
    queue = RedisJobQueue(redis_client, prefix=f"{prefix}:{{celery}}")
    (job,) = queue.reserve_many(5)
    assert (job.name, job.priority) == ("proj.add", 3)
    assert job.payload["args"] == [1]
    assert job.payload["kwargs"] == {"y": 2}
    assert job.payload["_kombu"]["headers"]["id"] == result.id
    queue.ack(job)
    queue.close()


def test_a_countdown_waits_in_redis(redis_server: RedisServer, redis_client: redis.Redis, prefix: str) -> None:
    app = make_app(redis_server.url, prefix=prefix)
    app.send_task("later", countdown=30)
    app.close()
    queue = RedisJobQueue(redis_client, prefix=f"{prefix}:{{celery}}")
    assert (queue.stats().ready, queue.stats().delayed) == (0, 1)
    queue.close()


def test_leftovers_of_celery_are_found(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {
        f"{prefix}emails": 2,
        f"{prefix}emails\x06\x166": 1,
        f"{prefix}reports": 1,
    }
    for key, count in keys.items():
        redis_client.lpush(key, *["{}"] * count)
    redis_client.hset(f"{prefix}unacked", "tag", "{}")
    redis_client.set(f"{prefix}other", "no list")
    app = make_app(redis_server.url, global_keyprefix=prefix)
    with app.connection_for_read() as connection:
        connection.connect()
        names = ["emails", "reports", "empty", "other"]
        assert count_leftovers(connection, names) == {"emails": 3, "reports": 1, "unacked": 1}
        with caplog.at_level(logging.WARNING):
            warn_of_leftovers(connection, names)
    redis_client.delete(*keys, f"{prefix}unacked", f"{prefix}other")
    assert "emails (3), reports (1), unacked (1)" in caplog.text
    assert "svcjobs bridge" in caplog.text


def test_no_leftovers_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with make_app("memory://").connection_for_read() as connection:
        connection.connect()
        assert warn_of_leftovers(connection, ["celery"]) == {}
    assert not caplog.records


def test_a_password_is_in_no_error(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        make_app("amqp://user:topsecret@localhost//").connection().connect()
    assert "topsecret" not in str(caught.value)
