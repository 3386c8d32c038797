"""One fixture for all storages: a queue, time that moves, and more queues on the same storage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcjobs.queue import JobQueue
from tests.conformance.backends import Backend, async_backend, fakeredis_backend, memory_backend, server_backend


@pytest.fixture(
    params=[
        "memory",
        "fakeredis",
        pytest.param("redis", marks=pytest.mark.server),
        pytest.param("async-redis", marks=pytest.mark.server),
    ]
)
def backend(request: pytest.FixtureRequest, prefix: str) -> Iterator[Backend]:
    """A fresh storage. Payload sizes, ids and times are those of a queue nobody used."""
    if request.param == "memory":
        opening = memory_backend(prefix)
    elif request.param == "fakeredis":
        opening = fakeredis_backend(prefix)
    else:
        url = request.getfixturevalue("redis_server").url
        opening = (server_backend if request.param == "redis" else async_backend)(prefix, url)
    with opening as backend:
        yield backend


@pytest.fixture
def queue(backend: Backend) -> JobQueue:
    """A queue on that storage."""
    return backend.open()


@pytest.fixture
def sibling(backend: Backend, queue: JobQueue) -> JobQueue:
    """Another consumer of the same queue."""
    return backend.open()
