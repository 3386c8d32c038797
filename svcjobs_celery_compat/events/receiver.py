"""Receiving events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from kombu import Queue, uuid
from kombu.connection import maybe_channel
from kombu.mixins import ConsumerMixin

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.events.event import get_exchange
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.utils.time import adjust_timestamp

__all__ = ("EventReceiver",)

CLIENT_CLOCK_SKEW = -1
"""A producer has no logical clock that counts: what it sent was before whatever is known here."""

Handler = Callable[[dict[str, Any]], object]


class EventReceiver(ConsumerMixin):
    """Receives events, and hands each to the handler of its type.

    Args:
        channel: to receive on; of a connection the default one.
        handlers: by type of event; that of ``*`` gets all that have none.
        routing_key: which events to receive: ``task.#``, ``#`` for all.
        node_id: names the queue; random by default.
        app: the app; the current one by default.
        queue_prefix: ``event_queue_prefix`` by default.
        accept: content types; JSON and that of ``event_serializer`` by default.
        queue_ttl: ``event_queue_ttl`` by default, in seconds.
        queue_expires: ``event_queue_expires`` by default, in seconds.
        queue_exclusive: ``event_queue_exclusive`` by default.
        queue_durable: ``event_queue_durable`` by default.

    Raises:
        ImproperlyConfigured: the queue would be both exclusive and durable.
    """

    app: Any = None

    def __init__(
        self,
        channel: Any,
        handlers: Mapping[str, Handler] | None = None,
        routing_key: str = "#",
        node_id: str | None = None,
        app: Any = None,
        queue_prefix: str | None = None,
        accept: Iterable[str] | None = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_exclusive: bool | None = None,
        queue_durable: bool | None = None,
    ) -> None:
        self.app = app_or_default(app or self.app)
        conf = self.app.conf
        self.channel = maybe_channel(channel)
        self.handlers: dict[str, Handler] = dict(handlers or {})
        self.routing_key = routing_key
        self.node_id = node_id or uuid()
        self.queue_prefix = conf.event_queue_prefix if queue_prefix is None else queue_prefix
        self.exchange = get_exchange(self.connection or self.app.connection_for_write(), name=conf.event_exchange)
        exclusive = conf.event_queue_exclusive if queue_exclusive is None else queue_exclusive
        durable = conf.event_queue_durable if queue_durable is None else queue_durable
        if exclusive and durable:
            raise ImproperlyConfigured(
                "event_queue_exclusive and event_queue_durable can't both be set: an exclusive queue ends with its "
                "connection; set one of them to False"
            )
        self.queue = Queue(
            f"{self.queue_prefix}.{self.node_id}",
            exchange=self.exchange,
            routing_key=self.routing_key,
            auto_delete=not durable,
            durable=durable,
            exclusive=exclusive,
            message_ttl=conf.event_queue_ttl if queue_ttl is None else queue_ttl,
            expires=conf.event_queue_expires if queue_expires is None else queue_expires,
        )
        self.clock = self.app.clock
        self.adjust_clock = self.clock.adjust
        self.forward_clock = self.clock.forward
        self.accept = {conf.event_serializer, "json"} if accept is None else accept

    @property
    def connection(self) -> Any:
        """The channel's connection; None without a channel."""
        return self.channel.connection.client if self.channel else None

    def process(self, type: str, event: dict[str, Any]) -> None:
        """Hand an event to its handler."""
        handler = self.handlers.get(type) or self.handlers.get("*")
        if handler:
            handler(event)

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        """The consumer of the queue."""
        return [Consumer(queues=[self.queue], callbacks=[self._receive], no_ack=True, accept=self.accept)]

    def on_consume_ready(
        self, connection: Any, channel: Any, consumers: Any, wakeup: bool = True, **kwargs: Any
    ) -> None:
        """Ask the workers for a sign of life, so that they are known at once."""
        if wakeup:
            self.wakeup_workers(channel=channel)

    def itercapture(self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True) -> Iterator[Any]:
        """Receive events, and yield after each.

        Args:
            limit: how many messages.
            timeout: seconds without an event after which TimeoutError is raised.
            wakeup: whether to ask the workers for a heartbeat first.
        """
        return self.consume(limit=limit, timeout=timeout, wakeup=wakeup)  # type: ignore[no-any-return]

    def capture(self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True) -> None:
        """Receive events until ``should_stop`` is set, or an exception ends it; see :meth:`itercapture`."""
        for _ in self.itercapture(limit=limit, timeout=timeout, wakeup=wakeup):
            pass

    def wakeup_workers(self, channel: Any = None) -> None:
        """Tell the workers to send a heartbeat."""
        self.app.control.broadcast("heartbeat", connection=self.connection, channel=channel)

    def event_from_message(
        self,
        body: dict[str, Any],
        localize: bool = True,
        now: Callable[[], float] = time.time,
        tzfields: Callable[[dict[str, Any]], tuple[float, float]] = itemgetter("utcoffset", "timestamp"),
        adjust_timestamp: Callable[[float, float], float] = adjust_timestamp,
        CLIENT_CLOCK_SKEW: int = CLIENT_CLOCK_SKEW,
    ) -> tuple[str, dict[str, Any]]:
        """Type and event of a message's body; the logical clock is moved on."""
        type = body["type"]
        if type == "task-sent":
            body["clock"] = (self.clock.value or 1) + CLIENT_CLOCK_SKEW
            self.adjust_clock(body["clock"])
        elif body.get("clock") is None:
            body["clock"] = self.forward_clock()
        else:
            self.adjust_clock(body["clock"])
        if localize:
            try:
                offset, timestamp = tzfields(body)
            except KeyError:
                pass  # from a sender that doesn't tell its zone
            else:
                body["timestamp"] = adjust_timestamp(timestamp, offset)
        body["local_received"] = now()
        return type, body

    def _receive(self, body: Any, message: Any) -> None:
        for event in body if isinstance(body, list) else [body]:
            self.process(*self.event_from_message(event))
