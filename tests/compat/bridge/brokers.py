"""Old brokers for the bridge: a redis-server of the tests' own, and RabbitMQ on this machine."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import amqp
import kombu
import pytest
from celery import Celery

from svcjobs_celery_compat.bridge.amqp_receiver import stage_of

RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
MISSING = "no RabbitMQ answers at 127.0.0.1:5672"


@dataclass(frozen=True)
class OldBroker:
    """A broker with one queue."""

    url: str
    queue: str

    def app(self) -> Celery:
        app = Celery("old", broker=self.url, set_as_current=False)
        app.conf.update(task_default_queue=self.queue, task_default_exchange=self.queue)
        return app

    def connect(self) -> kombu.Connection:
        return kombu.Connection(self.url)


@contextlib.contextmanager
def rabbitmq_queue() -> Iterator[OldBroker]:
    queue = f"svcjobs-{uuid.uuid4().hex[:12]}"
    connection = kombu.Connection(RABBITMQ, connect_timeout=2)
    try:
        connection.connect()
    except (OSError, amqp.AMQPError):
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    try:
        yield OldBroker(RABBITMQ, queue)
    finally:
        channel = connection.channel()
        channel.queue_delete(queue)
        channel.queue_delete(stage_of(queue))
        channel.exchange_delete(queue)
        connection.release()
