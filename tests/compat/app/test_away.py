"""Calls while the server is away: a typed error, soon."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from svcjobs_celery_compat import Celery, group
from tests.servers import RedisServer

LONGEST_SECONDS = 2.5  # the default of 2, and a busy machine
pytestmark = [pytest.mark.promise("P10"), pytest.mark.alone]


def make_app(url: str, backend: str | None = None) -> Celery:
    app = Celery("away", broker=url, backend=backend, set_as_current=False, fixups=[])
    app.conf.broker_transport_options = {"prefix": f"away-{uuid.uuid4().hex}"}

    @app.task(name="away.add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    app.finalize()
    return app


@pytest.fixture
def refusing() -> Iterator[str]:
    with closing(socket.socket()) as reserved:  # nobody else is given its port meanwhile, and it doesn't listen
        reserved.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{reserved.getsockname()[1]}/0"


@pytest.fixture
def silent() -> Iterator[str]:
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def assert_soon_an_error(call: Any) -> None:
    began = time.monotonic()
    with pytest.raises(OperationalError):
        call()
    assert time.monotonic() - began < LONGEST_SECONDS


@pytest.mark.parametrize("way", ["refusing", "silent"])
@pytest.mark.parametrize("results", [False, True])
def test_the_first_call_and_the_second(way: str, results: bool, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(way)
    app = make_app(url, url if results else None)
    add = app.tasks["away.add"]
    assert_soon_an_error(lambda: add.delay(1, 2))
    assert_soon_an_error(lambda: add.delay(1, 2))
    app.close()


def test_without_retries(silent: str) -> None:
    app = make_app(silent)
    assert_soon_an_error(lambda: app.tasks["away.add"].apply_async((1, 2), retry=False))
    app.close()


def test_by_name_and_in_a_group(silent: str) -> None:
    app = make_app(silent)
    assert_soon_an_error(lambda: app.send_task("away.add", (1, 2)))
    assert_soon_an_error(lambda: group([app.tasks["away.add"].s(1, 2)] * 3, app=app).apply_async())
    app.close()


@pytest.mark.parametrize("results", [False, True])
def test_a_server_that_stops_and_comes_back(own_server: RedisServer, results: bool) -> None:
    app = make_app(own_server.url, own_server.url if results else None)
    add = app.tasks["away.add"]
    add.delay(1, 2)
    own_server.pause()
    assert_soon_an_error(lambda: add.delay(1, 2))
    assert_soon_an_error(lambda: add.delay(1, 2))
    own_server.resume()
    assert add.delay(1, 2).id
    app.close()
