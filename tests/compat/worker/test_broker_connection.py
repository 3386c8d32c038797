"""A process of a worker that starts while its server is away, as it may be when a dead one is replaced."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from svcjobs.errors import QueueUnavailable
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.worker.broker import Broker
from tests.eventually import eventually
from tests.servers import RedisServer

pytestmark = pytest.mark.server
TOLD = "Cannot connect to the broker"


@pytest.fixture
def app(own_server: RedisServer) -> Iterator[Any]:
    """Its server is away."""
    own_server.stop()
    app = Celery("shop", broker=own_server.url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR, "celery.worker.consumer.consumer")
    return caplog


def test_it_tries_again_until_the_server_is_back(
    app: Any, own_server: RedisServer, log: pytest.LogCaptureFixture
) -> None:
    found: list[bool] = []

    def begin() -> None:
        with closing(Broker(app)) as broker:
            found.append(broker.client.ping())

    process = threading.Thread(target=begin)
    process.start()
    eventually(lambda: TOLD in log.text)
    assert not found
    own_server.start()
    process.join(60)
    assert found == [True]


def test_it_gives_up_as_the_settings_say(app: Any, log: pytest.LogCaptureFixture) -> None:
    app.conf.broker_connection_max_retries = 2
    with pytest.raises(QueueUnavailable):
        Broker(app)
    assert log.text.count(TOLD) == 2
    app.conf.broker_connection_retry = False
    with pytest.raises(QueueUnavailable):
        Broker(app)
    assert log.text.count(TOLD) == 2
