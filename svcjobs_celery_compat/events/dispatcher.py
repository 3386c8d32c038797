"""Sending events."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Self

from kombu import Producer

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.events.event import Event as new_event
from svcjobs_celery_compat.events.event import get_exchange, group_from
from svcjobs_celery_compat.utils.nodenames import anon_nodename
from svcjobs_celery_compat.utils.time import utcoffset

__all__ = ("EventDispatcher",)

EventFactory = Callable[..., dict[str, Any]]


class EventDispatcher:
    """Sends events. Close it after use. It may be used by several threads.

    Args:
        connection: to the broker; a new one when there is no channel either.
        hostname: the name of the sending node; host and process by default.
        enabled: whether it sends at once; see :meth:`enable`.
        channel: used in place of the connection's own.
        buffer_while_offline: whether events that couldn't be sent are kept for :meth:`flush`, instead of raising.
        app: the app; the current one by default.
        serializer: ``event_serializer`` by default.
        groups: the groups to send, such as ``task``; all when there are none.
        delivery_mode: 1 for events that needn't outlive the broker.
        buffer_group: groups whose events are collected and sent together.
        buffer_limit: how many are collected.
        on_send_buffered: called without arguments for an event that was collected.

    Attributes:
        on_enabled: callables without arguments.
        on_disabled: the same.
    """

    DISABLED_TRANSPORTS = frozenset({"sql"})
    app: Any = None
    on_enabled: set[Callable[[], object]]
    on_disabled: set[Callable[[], object]]

    def __init__(
        self,
        connection: Any = None,
        hostname: str | None = None,
        enabled: bool = True,
        channel: Any = None,
        buffer_while_offline: bool = True,
        app: Any = None,
        serializer: str | None = None,
        groups: Iterable[str] | None = None,
        delivery_mode: int = 1,
        buffer_group: Iterable[str] | None = None,
        buffer_limit: int = 24,
        on_send_buffered: Callable[[], object] | None = None,
    ) -> None:
        self.app = app_or_default(app or self.app)
        self.channel = channel
        self.connection = channel.connection.client if channel and not connection else connection
        self.hostname = hostname or anon_nodename()
        self.buffer_while_offline = buffer_while_offline
        self.buffer_group = frozenset(buffer_group or ())
        self.buffer_limit = buffer_limit
        self.on_send_buffered = on_send_buffered
        self.on_enabled, self.on_disabled = set(), set()
        self.groups = set(groups or ())
        self.tzoffset = [-time.timezone, -time.altzone]
        self.clock = self.app.clock
        self.delivery_mode = delivery_mode
        self.serializer = serializer or self.app.conf.event_serializer
        self.headers = {"hostname": self.hostname}
        self.pid = os.getpid()
        self.producer: Any = None
        # the one lock: whoever closes waits for what is being sent
        self._sending = threading.RLock()
        self._closed = False
        self._group_buffer: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._outbound_buffer: deque[tuple[Any, str]] = deque()

        broker = self.connection or self.app.connection_for_write()
        self.exchange = get_exchange(broker, name=self.app.conf.event_exchange)
        self.enabled = False
        if enabled and broker.transport.driver_type not in self.DISABLED_TRANSPORTS:
            self.enable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def enable(self) -> None:
        """Send events from now on."""
        with self._sending:
            self.producer = Producer(
                self.channel or self.connection,
                exchange=self.exchange,
                serializer=self.serializer,
                auto_declare=False,
            )
            self.enabled, self._closed = True, False
        for callback in self.on_enabled:
            callback()

    def disable(self) -> None:
        """Send none any more."""
        if self.enabled:
            self.enabled = False
            self.close()
            for callback in self.on_disabled:
                callback()

    def send(
        self,
        type: str,
        blind: bool = False,
        utcoffset: Callable[[], float] = utcoffset,
        retry: bool = False,
        retry_policy: Any = None,
        Event: EventFactory = new_event,
        **fields: Any,
    ) -> None:
        """Send an event, unless disabled or not of a group that is sent.

        Args:
            type: group and name, such as ``task-sent``.
            blind: leave the logical clock alone.
            utcoffset: returns the offset of the local time from UTC, in hours.
            retry: try again when the connection is lost.
            retry_policy: how; see :meth:`kombu.Connection.ensure`.
            Event: makes the event.
            **fields: of the event; the serializer has to know their types.
        """
        if not self.enabled:
            return
        group = group_from(type)
        if self.groups and group not in self.groups:
            return
        event = self._prepare_event(type, fields, blind, utcoffset, Event)
        with self._sending:
            # it may have been closed while the event was made
            if self._closed or self.producer is None:
                return
            if group in self.buffer_group:
                self._collect(group, event)
            else:
                self._publish(event, self.producer, type.replace("-", "."), retry, retry_policy)

    def publish(
        self,
        type: str,
        fields: dict[str, Any],
        producer: Any,
        blind: bool = False,
        Event: EventFactory = new_event,
        utcoffset: Callable[[], float] = utcoffset,
        **kwargs: Any,
    ) -> None:
        """Send an event by a producer of the caller's, which may be used after this dispatcher is closed.

        Args:
            type: group and name.
            fields: of the event.
            producer: only its ``publish`` is called.
            blind: leave the logical clock alone.
            Event: makes the event.
            utcoffset: returns the offset of the local time from UTC, in hours.
            **kwargs: ``retry`` and ``retry_policy`` as in :meth:`send`.
        """
        event = self._prepare_event(type, fields, blind, utcoffset, Event)
        with self._sending:
            self._publish(event, producer, type.replace("-", "."), **kwargs)

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what was kept. While closed, it stays where it is.

        Args:
            errors: what couldn't be sent before.
            groups: what was collected.
        """
        with self._sending:
            if self._closed:
                return
            if errors:
                self._flush_errors()
            if groups:
                for group in list(self._group_buffer):
                    self._flush_group(group)

    def extend_buffer(self, other: EventDispatcher) -> None:
        """Take over what another dispatcher couldn't send."""
        self._outbound_buffer.extend(other._outbound_buffer)  # of the same class

    def close(self) -> None:
        """Send nothing by the own producer any more; waits for what is being sent."""
        with self._sending:
            self._closed = True
            self.producer = None

    @property
    def publisher(self) -> Any:
        """The producer, by its old name."""
        return self.producer

    @publisher.setter
    def publisher(self, producer: Any) -> None:
        self.producer = producer

    def _prepare_event(
        self, type: str, fields: dict[str, Any], blind: bool, utcoffset: Callable[[], float], Event: EventFactory
    ) -> dict[str, Any]:
        clock = None if blind else self.clock.forward()
        return Event(
            type, hostname=self.hostname, utcoffset=utcoffset(), pid=self.pid, clock=clock, **fields
        )  # fmt: skip

    def _publish(
        self, event: Any, producer: Any, routing_key: str, retry: bool = False, retry_policy: Any = None
    ) -> None:
        try:
            producer.publish(
                event,
                routing_key=routing_key,
                exchange=self.exchange.name,
                retry=retry,
                retry_policy=retry_policy,
                declare=[self.exchange],
                serializer=self.serializer,
                headers=self.headers,
                delivery_mode=self.delivery_mode,
            )
        except Exception:
            if not self.buffer_while_offline:
                raise
            self._outbound_buffer.append((event, routing_key))

    def _collect(self, group: str, event: dict[str, Any]) -> None:
        collected = self._group_buffer[group]
        collected.append(event)
        if len(collected) >= self.buffer_limit:
            self._flush_group(group)
        elif self.on_send_buffered:
            self.on_send_buffered()

    def _flush_group(self, group: str) -> None:
        collected = self._group_buffer[group]
        batch = list(collected)
        if batch:
            self._publish(batch, self.producer, f"{group}.multi")
            del collected[: len(batch)]

    def _flush_errors(self) -> None:
        # what fails once more goes to the end, so the number is taken first
        for _ in range(len(self._outbound_buffer)):
            event, routing_key = self._outbound_buffer[0]
            self._publish(event, self.producer, routing_key)
            self._outbound_buffer.popleft()
