"""``memory://``: queues that live and end with the process, for tests and development.

The messages lie in :class:`~svcjobs.memory_queue.InMemoryJobQueue` objects, in the form of
:mod:`~svcjobs_celery_compat.transport.wire`, so that a worker in this process takes them as one on Redis would.
"""

from __future__ import annotations

import threading
import time
from queue import Empty
from typing import Any

from kombu.transport import virtual

from svcjobs.clock import Clock
from svcjobs.errors import LeaseLost
from svcjobs.job import LONGEST_SECONDS, Job, NewJob
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.memory_server import MemoryServer
from svcjobs.retry import RetryPolicy
from svcjobs.settlement import Ack, Bury, Release, Settlement
from svcjobs_celery_compat.transport.intake import sort_out
from svcjobs_celery_compat.transport.options import read_options
from svcjobs_celery_compat.transport.queues import MOST_PAYLOAD_BYTES, prefix_of
from svcjobs_celery_compat.transport.wire import Message, delay_seconds, encode, lifetime_seconds

_LEASE_SECONDS = 365 * 86400.0
"""Who holds a message can't be lost without the queues being lost, too."""


class MemoryBroker:
    """The queues of one URL: ``memory://`` has them in common with all connections of the process."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.state = virtual.BrokerState()
        self.declared: set[str] = set()
        self._queues: dict[tuple[str, str], InMemoryJobQueue] = {}
        self._lock = threading.Lock()

    def queue(self, name: str, root: str = "jobs", *, clock: Clock = time.time) -> InMemoryJobQueue:
        """The queue with a kombu name.

        Parameters:
            root: prefix of the default queue.
            clock: another than the time of day; such a queue object isn't kept.
        """
        prefix = prefix_of(name, root)
        if clock is not time.time:
            return self._made(prefix, clock)
        with self._lock:
            if (root, name) not in self._queues:
                self._queues[root, name] = self._made(prefix, clock)
            return self._queues[root, name]

    def _made(self, prefix: str, clock: Clock) -> InMemoryJobQueue:
        return InMemoryJobQueue(
            clock=clock,
            visibility_timeout=_LEASE_SECONDS,
            name=prefix,
            server=self.server,
            max_payload_bytes=MOST_PAYLOAD_BYTES,
        )


#: The queues of ``memory://`` in this process.
BROKER = MemoryBroker()


class QoS(virtual.QoS):
    """Settles the job of each message."""

    def ack(self, delivery_tag: str) -> None:
        """The message was dealt with."""
        self._settle(delivery_tag, Ack)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message won't be dealt with here (``requeue``) or at all."""
        if requeue:
            self._settle(delivery_tag, lambda job: Release(job, charged=True))
        elif self.channel.options.dead_letter_rejected:
            self._settle(delivery_tag, lambda job: Bury(job, "rejected", "a consumer rejected the message"))
        else:
            self._settle(delivery_tag, Ack)
        super().ack(delivery_tag)

    def restore_unacked(self) -> None:
        """Give back all that wasn't settled."""
        self._flush()
        for tag in list(self._delivered):
            self._settle(tag, Release)
        self._delivered.clear()

    def _settle(self, delivery_tag: str, settlement: Any) -> None:
        message = self._delivered.get(delivery_tag)
        job: Job | None = message._raw.get("job") if message else None
        if job is not None:
            made: Settlement = settlement(job)
            self.channel.at(job.queue).settle_many([made])


class Channel(virtual.Channel):
    """A channel of :class:`Transport`."""

    QoS = QoS
    supports_fanout = True
    do_restore = True
    body_encoding = "utf-8"  # the body stays as it is: wire.py decides on its form

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.options = connection.options
        self.broker = connection.broker
        self._unacked_queues: set[str] = set()  # their consumers don't ack

    def _queue(self, name: str, **clock: Any) -> InMemoryJobQueue:
        queue: InMemoryJobQueue = self.broker.queue(name, self.options.root, **clock)
        return queue

    def at(self, prefix: str) -> InMemoryJobQueue:
        """The queue with a prefix."""
        return InMemoryJobQueue(name=prefix, server=self.broker.server, visibility_timeout=_LEASE_SECONDS)

    def _put(self, queue: str, message: Message, **_: Any) -> None:
        if not queue:
            return  # the default exchange without a routing key: the message goes nowhere
        name, payload = encode(message)
        lifetime = lifetime_seconds(message)
        self._queue(queue).enqueue_many(
            [
                NewJob(
                    name,
                    payload,
                    delay_seconds=min(delay_seconds(message), LONGEST_SECONDS),
                    max_attempts=self.options.max_attempts,
                    priority=self._get_message_priority(message),
                    retry=None if lifetime is None else RetryPolicy(max_elapsed_seconds=min(lifetime, LONGEST_SECONDS)),
                )
            ]
        )

    def _put_fanout(self, exchange: str, message: Message, routing_key: str | None = None, **_: Any) -> None:
        for queue in self._lookup(exchange, routing_key):
            self._put(queue, message)

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> None:
        """Consume from a queue."""
        (self._unacked_queues.add if no_ack else self._unacked_queues.discard)(queue)
        super().basic_consume(queue, no_ack, *args, **kwargs)

    def _get(self, queue: str, timeout: float | None = None) -> Message:
        message = self._reserve(queue)
        if queue in self._unacked_queues:
            self._queue(queue).settle_many([Ack(message.pop("job"))])
        return message

    def _reserve(self, queue: str) -> Message:
        source = self._queue(queue)
        while jobs := source.reserve_many(1, verdicts=True):
            found = sort_out(jobs[0], self.options)
            if isinstance(found, dict):
                return found
            source.settle_many([found])
        raise Empty

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """One message, or None. As with kombu's memory transport, it may be one whose time has not come."""
        try:
            raw = self._reserve(queue)
        except Empty:
            if not self._queue(queue, clock=_at_the_end_of_time).promote(1):
                return None
            raw = self._reserve(queue)
        message = self.Message(raw, channel=self)
        self.qos.append(message, message.delivery_tag)
        if no_ack:
            self.qos.ack(message.delivery_tag)
        return message

    def _new_queue(self, queue: str, **_: Any) -> None:
        self.broker.declared.add(queue)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return queue in self.broker.declared

    def _size(self, queue: str) -> int:
        stats = self._queue(queue).stats()
        return int(stats.ready + stats.delayed)

    def _purge(self, queue: str) -> int:
        return self._queue(queue).purge()

    def _delete(self, queue: str, *args: Any, **_: Any) -> None:
        self.broker.declared.discard(queue)
        self._queue(queue).purge()

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        pass  # the broker's state has the bindings

    def after_reply_message_received(self, queue: str) -> None:
        """Nothing: a queue for answers goes with its channel."""


class Transport(virtual.Transport):
    """``memory://``; the process is all there is."""

    Channel = Channel
    driver_type = "memory"
    driver_name = "svcjobs"
    implements = virtual.Transport.implements.extend(
        exchange_type=frozenset(["direct", "topic", "fanout"]), heartbeats=False
    )
    channel_errors = (*virtual.Transport.channel_errors, LeaseLost)

    broker = BROKER
    polling_interval = 0.02  # seconds between two looks of a consumer

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.options = read_options(client.transport_options or {})
        self.state = self.broker.state

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """None: there is no host to be named."""
        return {}

    def driver_version(self) -> str:
        """None: there is no driver."""
        return "N/A"


def _at_the_end_of_time() -> float:
    return time.time() + LONGEST_SECONDS * 2
