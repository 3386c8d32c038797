"""Connections to the tests' server, each test under a prefix of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest
import redis

import svcjobs_celery_compat.transport  # noqa: F401  # makes the URLs known to kombu
from svcjobs.redis_queue import RedisJobQueue
from tests.compat.transport.kombu_client import OpenConnection
from tests.ports import free_port
from tests.servers import RedisServer


def pytest_configure(config: pytest.Config) -> None:
    for mark in ("env: of kombu's own tests", "flaky: of kombu's own tests"):
        config.addinivalue_line("markers", mark)


@pytest.fixture
def broker_url(redis_server: RedisServer) -> str:
    return f"svcjobs://127.0.0.1:{redis_server.port}/0"


@pytest.fixture
def options(prefix: str) -> dict[str, Any]:
    return {"global_keyprefix": f"{prefix}-"}


@pytest.fixture
def connection(broker_url: str, options: dict[str, Any]) -> kombu.Connection:
    return kombu.Connection(broker_url, transport_options=options)


@pytest.fixture
def invalid_connection() -> kombu.Connection:
    return kombu.Connection(f"svcjobs://127.0.0.1:{free_port()}")


@pytest.fixture
def failover_connection(broker_url: str, options: dict[str, Any]) -> kombu.Connection:
    dead = f"svcjobs://127.0.0.1:{free_port()}"
    return kombu.Connection(f"{dead};{broker_url}", transport_options=options)


@pytest.fixture
def opened(broker_url: str, options: dict[str, Any]) -> Iterator[OpenConnection]:
    """Opens connections, closed after the test."""
    connections = []

    def open_connection(**further: Any) -> kombu.Connection:
        connection = kombu.Connection(broker_url, transport_options=options | further)
        connections.append(connection)
        return connection

    yield open_connection
    for connection in connections:
        connection.release()


@pytest.fixture
def stored(redis_client: redis.Redis, options: dict[str, Any]) -> Callable[..., RedisJobQueue]:
    """The engine's view of a kombu queue."""

    def look(name: str = "q", **settings: Any) -> RedisJobQueue:
        return RedisJobQueue(redis_client, prefix=f"{options['global_keyprefix']}jobs:{{{name}}}", **settings)

    return look
