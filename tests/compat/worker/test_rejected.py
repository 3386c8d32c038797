"""What is no task goes to the dead letter queue, and the project hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import kombu
import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.contrib.testing.worker import start_worker
from svcjobs_celery_compat.signals import task_rejected
from svcjobs_celery_compat.worker.consumer import Consumer
from tests.eventually import eventually
from tests.servers import RedisServer

SECONDS = 20.0


def of_the_engine(queue: RedisJobQueue, _producer: Any, _name: str) -> None:
    queue.enqueue("native", {"number": 1})


def of_kombu(_queue: RedisJobQueue, producer: Any, name: str) -> None:
    producer.publish({"baz": "!!!"}, routing_key=name, exchange="")


def without_id(_queue: RedisJobQueue, producer: Any, name: str) -> None:
    headers = {"task": "celery.ping", "lang": "py"}
    producer.publish([[], {}, {}], routing_key=name, exchange="", headers=headers, serializer="json")


@pytest.mark.parametrize("send", [of_the_engine, of_kombu, without_id])
def test_what_is_no_task_is_dead_and_told(
    send: Callable[..., None], redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    app = Celery(prefix, broker=redis_server.url, set_as_current=False)
    app.conf.task_default_queue = prefix
    queue = RedisJobQueue(redis_client, prefix=f"jobs:{{{prefix}}}")
    seen: list[tuple[Any, Any, Any]] = []
    told = threading.Event()

    def receive(sender: Any, message: Any, exc: Any, **_: Any) -> None:
        seen.append((sender, message, exc))
        told.set()

    task_rejected.connect(receive)
    try:
        with (
            start_worker(app, perform_ping_check=False, shutdown_timeout=30.0),
            app.connection_for_write() as connection,
        ):
            send(queue, kombu.Producer(connection), prefix)
            assert told.wait(SECONDS)
            eventually(lambda: queue.stats().dead == 1, SECONDS)
    finally:
        task_rejected.disconnect(receive)
    [(sender, message, exc)] = seen
    assert isinstance(sender, Consumer)
    assert message is not None
    assert isinstance(exc, Exception)
    [dead] = queue.dead()
    assert dead.reason == "undecodable"
    assert queue.stats().in_flight == queue.stats().ready == queue.stats().delayed == 0
    queue.close()
    app.close()
