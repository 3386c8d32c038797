"""Scenes on the shared server, and on one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.scene import Scene
from tests.sentinel_set import SentinelSet
from tests.servers import Cluster, RedisServer

MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene(tmp_path: Path, prefix: str) -> Iterator[MakeScene]:
    """Makes the scene of a test: of a server, a length of the lease, and a URL for the workers if not the server's."""
    with ExitStack() as stack:

        def make(server: RedisServer | Cluster | SentinelSet, lease_seconds: float, url: str | None = None) -> Scene:
            client = server.client()
            name = f"{{{prefix}}}" if isinstance(server, Cluster) else prefix  # as the worker names it
            queue = RedisJobQueue(client, prefix=name, visibility_timeout=lease_seconds)
            stack.callback(queue.close)
            fleet = stack.enter_context(Fleet(url or server.url, prefix, History(tmp_path), lease_seconds))
            return Scene(client, queue, fleet)

        yield make


@pytest.fixture
def scene(make_scene: MakeScene, redis_server: RedisServer) -> Scene:
    """A scene on the shared server, with leases of 2 seconds."""
    return make_scene(redis_server, 2.0)
