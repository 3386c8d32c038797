"""RabbitMQ as the old broker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import kombu
from amqp.exceptions import AccessRefused, AMQPError, NotFound

from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable, Delivery
from svcjobs_celery_compat.transport.wire import Message

HEARTBEAT_SECONDS = 20
CONNECT_SECONDS = 5
PREFETCH = 1000
_OF_MESSAGE = ("application_headers", "content_type", "content_encoding")


class AmqpBroker:
    """A :class:`~svcjobs_celery_compat.bridge.broker.Broker` over AMQP 0-9-1.

    It says how many messages are ready, and not how many are held unacked. So it counts as finished when nothing is
    ready and nobody consumes: a worker that is connected may hold messages, and gives them back when it stops.

    Args:
        url: as kombu takes it.
        names: of the queues.
    """

    def __init__(self, url: str, names: Sequence[str]) -> None:
        self._url = url
        self._names = names
        self._connection: Any = None
        self._tags: dict[str, str] = {}
        self._arrived: deque[Delivery] = deque()
        self._beat_at = 0.0

    def connect(self) -> None:
        self.close()
        self._connection = kombu.Connection(
            self._url,
            heartbeat=HEARTBEAT_SECONDS,
            connect_timeout=CONNECT_SECONDS,
            transport_options={"read_timeout": CONNECT_SECONDS},
        )
        with self._broker_errors():
            self._connection.connect()
            self._channel = self._connection.channel()
            self._channel.auto_decode = False  # bodies stay bytes
            self.waiting()
            self._channel.basic_qos(0, PREFETCH, False)
            self._consume()

    def take(self, limit: int, seconds: float) -> list[Delivery]:
        self._drain(limit, seconds)
        return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        with self._broker_errors():
            self._channel.basic_ack(deliveries[-1].handle, multiple=True)
            # an ack isn't answered; what comes after it on the same channel is
            self._channel.queue_declare(deliveries[-1].queue, passive=True)

    def keep_alive(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + HEARTBEAT_SECONDS / 4
        with self._broker_errors():
            self._connection.heartbeat_check()
        self._drain(PREFETCH, 0.001)  # reads the broker's heartbeats

    def waiting(self) -> dict[str, int]:
        with self._broker_errors():
            return {name: self._declared(name).message_count for name in self._names}

    def unfinished(self) -> str:
        with self._broker_errors():
            # another bridge must not wait for this one
            for tag in self._tags.values():
                self._channel.basic_cancel(tag)
            self._tags.clear()
            states = [self._declared(name) for name in self._names]
            ready = sum(state.message_count for state in states) + len(self._arrived)
            others = sum(state.consumer_count for state in states)
            if ready:
                self._consume()
                return f"{ready} messages wait"
        return f"{others} other consumers are connected, which may hold messages: stop them" if others else ""

    def close(self) -> None:
        self._arrived.clear()
        self._tags.clear()
        if self._connection is not None:
            with suppress(AMQPError, OSError, *self._connection.connection_errors):
                self._connection.release()
        self._connection = None

    def _consume(self) -> None:
        for name in self._names:
            self._tags[name] = self._channel.basic_consume(name, callback=self._receiver(name))

    def _receiver(self, name: str) -> Any:
        def receive(raw: Any) -> None:
            fresh = not raw.delivery_info.get("redelivered")
            # its priorities count the other way round, and nothing goes before 0: the order of arrival keeps them
            self._arrived.append(Delivery(name, _message(raw), 0, fresh, raw.delivery_tag))

        return receive

    def _drain(self, limit: int, seconds: float) -> None:
        with self._broker_errors():
            while len(self._arrived) < limit:
                try:
                    self._connection.drain_events(timeout=0.005 if self._arrived else seconds)
                except TimeoutError:
                    return

    def _declared(self, name: str) -> Any:
        try:
            return self._channel.queue_declare(name, passive=True)
        except NotFound as error:
            raise ConfigurationError(
                f"the old broker has no queue {name}: name those that it has with --queues, or let a Celery worker"
                " declare it"
            ) from error

    @contextmanager
    def _broker_errors(self) -> Iterator[None]:
        try:
            yield
        except AccessRefused as error:
            raise ConfigurationError(f"the old broker refuses these credentials, or a permission: {error}") from error
        except (AMQPError, *self._connection.connection_errors) as error:
            raise BrokerUnavailable(f"the old broker: {type(error).__name__}: {error}") from error


def _message(raw: Any) -> Message:
    info = raw.delivery_info
    properties = {name: value for name, value in raw.properties.items() if name not in _OF_MESSAGE}
    properties["delivery_info"] = {"exchange": info.get("exchange"), "routing_key": info.get("routing_key")}
    body = raw.body
    return {
        "body": body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body),
        "headers": dict(raw.headers or {}),
        "properties": properties,
        "content-type": raw.properties.get("content_type"),
        "content-encoding": raw.properties.get("content_encoding"),
    }
