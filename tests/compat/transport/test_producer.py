"""Our producer stores what kombu's does."""

from __future__ import annotations

import datetime
import functools
import threading
from collections.abc import Mapping
from typing import Any

import kombu
import pytest
from kombu.exceptions import EncodeError, OperationalError

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.connection import Connection
from svcjobs_celery_compat.transport.producer import Producer
from tests.compat.transport.kombu_client import OpenConnection
from tests.ports import free_port
from tests.servers import RedisServer

TASK: Any = ([1, "ü"], {"a": None}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})
HEADERS = {"lang": "py", "task": "tasks.add", "id": "1", "eta": None}

OPTIONS: dict[str, dict[str, Any]] = {
    "as a task's message": {"retry": True, "retry_policy": {"max_retries": 3}, "correlation_id": "1", "reply_to": "x"},
    "without a retry": {},
    "priority": {"priority": 7},
    "transient": {"delivery_mode": 1},
    "a delivery mode by its name": {"delivery_mode": "transient"},
    "expiration": {"expiration": 1.5},
    "another serializer": {"serializer": "pickle"},
    "compression": {"compression": "gzip"},
    "encoded": {"content_type": "application/x-own", "content_encoding": "utf-8"},
    "timeout": {"timeout": 3},
    "no headers": {"headers": None},
    "an exchange's name": {"exchange": "celery"},
    "an exchange": {"exchange": kombu.Exchange("celery")},
    "the producer's exchange": {"exchange": None},
}


needs_batches = pytest.mark.skipif(not hasattr(kombu.Producer, "batch"), reason="batches are new in kombu 5.7")


@pytest.mark.parametrize("given", OPTIONS.values(), ids=OPTIONS)
def test_a_message_is_stored_as_by_kombu(opened: OpenConnection, given: Mapping[str, Any]) -> None:
    options: dict[str, Any] = {"exchange": "", "headers": HEADERS, "serializer": "json", **given}
    body: Any = "text" if "content_type" in given else TASK

    connection = opened()
    queue = kombu.Queue("celery", kombu.Exchange("celery"), "there")
    for kind in (kombu.Producer, Producer):
        routing_key = "there" if options["exchange"] else "celery"
        kind(connection).publish(body, routing_key, declare=[queue], **options)

    assert _stored(connection, 1) == _stored(connection, 2)


class _Wrapper:
    """Stands for a method as wrapt's wrappers do: by a descriptor that passes for what it wraps."""

    def __init__(self, wrapped: Any, seen: list[str]) -> None:
        self.__wrapped__ = wrapped
        self.__globals__ = wrapped.__globals__
        self.seen = seen

    def __get__(self, producer: Any, kind: Any = None) -> Any:
        if producer is None:
            return self

        def publish(*args: Any, **kwargs: Any) -> Any:
            self.seen.append(kwargs["headers"]["task"])
            return self.__wrapped__(producer, *args, **kwargs)

        return publish


def _function(wrapped: Any, seen: list[str]) -> Any:
    @functools.wraps(wrapped)
    def publish(producer: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["headers"]["task"])
        return wrapped(producer, *args, **kwargs)

    return publish


@pytest.mark.parametrize("wrapper", [_function, _Wrapper], ids=["a function", "a descriptor"])
def test_a_tracer_in_the_place_of_kombus_publish_sees_each_message(
    opened: OpenConnection, monkeypatch: pytest.MonkeyPatch, wrapper: Any
) -> None:
    connection, seen = opened(), list[str]()
    producer = Producer(connection)
    with monkeypatch.context() as patched:
        patched.setattr(kombu.Producer, "publish", wrapper(kombu.Producer.publish, seen))
        producer.publish(TASK, "celery", exchange="", headers=dict(HEADERS), serializer="json")
    producer.publish(TASK, "celery", exchange="", headers=dict(HEADERS), serializer="json")

    assert seen == ["tasks.add"]
    assert _stored(connection, 1) == _stored(connection, 2)


def test_a_queue_is_declared_by_the_first_message(opened: OpenConnection) -> None:
    connection = opened()
    queue = kombu.Queue("celery", kombu.Exchange("celery"), "celery")
    producer = Producer(connection)

    for _ in range(2):
        producer.publish(TASK, "celery", exchange="", headers=dict(HEADERS), declare=[queue])

    assert queue(connection.default_channel).queue_declare(passive=True).message_count == 2
    assert connection.default_channel.get_table("celery") == [("celery", "", "celery")]


@needs_batches
def test_messages_of_a_batch_wait_for_its_end(opened: OpenConnection) -> None:
    connection = opened()
    producer = Producer(connection)

    with producer.batch(max_size=4):
        for number in range(6):
            producer.publish(TASK, "celery", exchange="", headers={**HEADERS, "id": str(number)})
            assert _queue_of(connection, "celery").stats().ready == (4 if number >= 3 else 0)

    assert _queue_of(connection, "celery").stats().ready == 6
    producer.publish(TASK, "celery", exchange="", headers={**HEADERS, "id": "6"})
    jobs = _queue_of(connection, "celery").reserve_many(10)
    assert [job.payload["_kombu"]["headers"]["id"] for job in jobs] == list("0123456")


@needs_batches
def test_a_batch_whose_block_raises_stores_nothing(opened: OpenConnection) -> None:
    connection = opened()
    producer = Producer(connection)

    def publish_and_fail() -> None:
        with producer.batch():
            for _ in range(3):
                producer.publish(TASK, "celery", exchange="", headers=dict(HEADERS))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish_and_fail()

    assert _queue_of(connection, "celery").stats().ready == 0
    producer.publish(TASK, "celery", exchange="", headers=dict(HEADERS))
    assert _queue_of(connection, "celery").stats().ready == 1


def test_what_cannot_be_written_is_refused_as_by_kombu(opened: OpenConnection) -> None:
    for kind in (kombu.Producer, Producer):
        with pytest.raises(EncodeError):
            kind(opened()).publish(([object()], {}, {}), "celery", exchange="", serializer="json")


def test_a_broker_that_is_away_is_told_by_the_error_of_kombu() -> None:
    with Connection(f"redis://127.0.0.1:{free_port()}", transport_options={"timeout_seconds": 0.2}) as connection:
        producer = Producer(connection)

        with pytest.raises(OperationalError):
            producer.publish(
                TASK, "celery", exchange="", headers=dict(HEADERS), retry=True, retry_policy={"max_retries": 0}
            )


def test_dates_come_back(opened: OpenConnection) -> None:
    moment = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
    connection = opened()
    Producer(connection).publish(([moment], {}, {}), "celery", exchange="", headers=dict(HEADERS), serializer="json")

    message = connection.default_channel.basic_get("celery")

    assert message is not None
    assert message.decode()[0] == [moment]


def _queue_of(connection: kombu.Connection, name: str) -> RedisJobQueue:
    queue: RedisJobQueue = connection.default_channel.queues.named(name)
    return queue


def _stored(connection: kombu.Connection, number: int) -> dict[bytes, bytes]:
    channel = connection.default_channel
    fields: dict[bytes, bytes] = channel.client.hgetall(f"{channel.queues.named('celery').name}:job:{number}")
    assert fields.pop(b"id") == b"%d" % number
    for instant in (b"available_at", b"retry_until"):
        fields.pop(instant, None)
    return fields


@pytest.mark.parametrize("kind", [kombu.Producer, Producer])
def test_a_message_that_is_published_again_after_a_standstill_is_stored_once(
    kind: type[kombu.Producer], own_server: RedisServer
) -> None:
    with kombu.Connection(f"svcjobs://127.0.0.1:{own_server.port}") as connection:
        channel = connection.default_channel
        producer = kind(connection)
        producer.publish("before", "q", exchange="")
        own_server.pause()  # longer than a call takes: kombu publishes again, and the server finds both
        resume = threading.Timer(3, own_server.resume)
        resume.start()
        properties: dict[str, Any] = {"correlation_id": "1"}
        producer.publish("during", "q", exchange="", retry=True, **properties)
        resume.join()
        producer.publish("after", "q", exchange="")
        got = [channel.basic_get("q", no_ack=True) for _ in range(4)]
    assert [message and message.payload for message in got] == ["before", "during", "after", None]
    assert got[1].properties.keys() == got[0].properties.keys() | {"correlation_id"}
