"""The AMQP verbs of a channel, on the engine's queues."""

from __future__ import annotations

import functools
import logging
from bisect import bisect
from collections.abc import Sequence
from queue import Empty
from typing import Any

from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments

from svcjobs.effects import Follow
from svcjobs.errors import JobsError, QueueUnavailable
from svcjobs.job import Job, NewJob
from svcjobs.settlement import Ack, Outcome, Settlement
from svcjobs_celery_compat.outcome import effects_for
from svcjobs_celery_compat.transport.batch import PublishBatch
from svcjobs_celery_compat.transport.intake import Intake, sort_out
from svcjobs_celery_compat.transport.qos import QoS, give_back
from svcjobs_celery_compat.transport.wire import FAILED_REQUEST, Message, as_job

logger = logging.getLogger(__name__)


class Channel(virtual.Channel):
    """A channel of :class:`~svcjobs_celery_compat.transport.transport.Transport`."""

    QoS = QoS
    supports_fanout = True
    supports_batch_publish = True
    body_encoding = "utf-8"  # the body stays as it is: wire.py decides on its form
    from_transport_options = ("deadletter_queue",)

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.options = connection.options
        self.client = connection.server
        self.queues = connection.queues
        self.keeper = connection.keeper
        self.acks = connection.acks
        self.poller = connection.poller
        self.fanout = connection.fanout
        self.declarations = connection.declarations
        self.routes = connection.routes
        self._bindings = connection.bindings
        self.callbacks: dict[str, Any] = {}
        """By queue: who gets this channel's messages. kombu keeps those of all channels together, the last one's."""
        self._auto_delete: set[str] = set()
        self._unacked_queues: set[str] = set()  # their consumers don't ack
        self.publish_batch: PublishBatch | None = None  # that is being filled
        self.intake = Intake(self)

    # publishing

    def _inplace_augment_message(self, message: Message, exchange: str, routing_key: str) -> None:
        # kombu adds a delivery tag and an encoding of the body as well: neither is stored
        message["properties"]["delivery_info"].update(exchange=exchange, routing_key=routing_key)

    def _put(self, queue: str, message: Message, _publish_batch: PublishBatch | None = None, **_: Any) -> None:
        queue = self.routes.queue_for(queue, message)
        job = as_job(message, self._step(self._get_message_priority(message)))
        if _publish_batch is not None:
            _publish_batch.add((queue, job))
            return
        properties = message["properties"]  # the same object when kombu publishes again after a failure
        try:
            self.store(queue, [job], properties.pop(FAILED_REQUEST, None))
        except QueueUnavailable as error:
            if error.request:
                properties[FAILED_REQUEST] = error.request
            raise

    def _put_fanout(
        self, exchange: str, message: Message, routing_key: str, _publish_batch: PublishBatch | None = None, **_: Any
    ) -> None:
        send = functools.partial(self.fanout.publish, exchange, routing_key, message)
        if _publish_batch is None:
            send()
        else:
            _publish_batch.add(send)

    def store(self, queue: str, jobs: Sequence[NewJob], request: tuple[str, int] | None = None) -> None:
        """Enqueue messages; those that follow a task of our worker commit with its outcome.

        Args:
            queue: where to, by its kombu name.
            jobs: the messages.
            request: of the call that failed, when this one repeats it.

        Raises:
            JobsError: as :meth:`~svcjobs.queue.JobQueue.enqueue_many`.
        """
        target = self.queues.named(queue)
        effects = effects_for(self.client, same_database=True)
        if effects is None:
            target.enqueue_many(jobs, request=request)
        else:
            effects += [Follow(job, target.name) for job in jobs]
        self.declarations.used(target.name, now=True)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """A batch for a producer."""
        self.publish_batch = PublishBatch(self, max_size)
        return self.publish_batch

    def _step(self, priority: int) -> int:
        steps = self.options.priority_steps
        step: int = steps[bisect(steps, priority) - 1]
        return step

    # consuming

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> None:
        """Consume from a queue."""
        (self._unacked_queues.add if no_ack else self._unacked_queues.discard)(queue)
        super().basic_consume(queue, no_ack, *args, **kwargs)
        self.callbacks[queue] = self.connection._callbacks[queue]
        self.intake.consume_from(self._active_queues)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop a consumer; what it was sent stays its own."""
        super().basic_cancel(consumer_tag)
        self.callbacks = {queue: call for queue, call in self.callbacks.items() if queue in self._active_queues}
        self.intake.consume_from(self._active_queues)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """One message, or None."""
        try:
            raw = self._get(queue)
        except Empty:
            return None
        message = self.Message(raw, channel=self)
        self.qos.append(message, message.delivery_tag)
        if no_ack:
            self.qos.ack(message.delivery_tag)
        return message

    def _get(self, queue: str, timeout: float | None = None) -> Message:
        while jobs := self.reserve(queue, 1):
            if messages := self.sorted_out(jobs):
                return messages[0]
        raise Empty

    def reserve(self, queue: str, limit: int) -> list[Job]:
        """Lease up to ``limit`` jobs.

        Raises:
            QueueUnavailable: the server doesn't answer; the connection counts as lost.
        """
        source = self.queues.named(queue)
        try:
            jobs: list[Job] = source.reserve_many(limit, verdicts=True)
        except QueueUnavailable:
            self.connection.lost = True
            raise
        self.declarations.used(source.name)
        return jobs

    def is_its_own(self, queue: str, message: Message) -> bool:
        """Whether a fetched message may be handed out; one for a consumer that doesn't ack is settled for it first."""
        if queue not in self._unacked_queues or "job" not in message:
            return True
        job = message.pop("job")
        self.keeper.drop([job])
        (outcome,) = self.queues.named(queue).settle_many([Ack(job)])
        return outcome is not Outcome.STALE

    def sorted_out(self, jobs: list[Job]) -> list[Message]:
        """The messages of reserved jobs, but those that aren't to be delivered."""
        messages: list[Message] = []
        settlements: list[Settlement] = []
        for job in jobs:
            result = sort_out(job, self.options)
            if isinstance(result, dict):
                messages.append(result)
            else:
                settlements.append(result)
        if settlements:
            self.queues.at(jobs[0].queue).settle_many(settlements)
        self.keeper.hold(message["job"] for message in messages)
        return messages

    def send_acks(self) -> None:
        """Send the acks that wait, if the server is there; a message whose ack isn't sent comes again."""
        try:
            self.acks.flush()
        except JobsError as error:
            logger.warning("acks weren't sent: %s", error)

    def give_back(self, jobs: list[Job]) -> None:
        """Put reserved jobs back to the front of their queues, uncharged."""
        give_back(self.queues, self.keeper, jobs)

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> None:
        """Deliver one message that is there, or raise ``Empty``."""
        if not self.intake.deliver():
            raise Empty

    # queues and exchanges

    def _new_queue(self, queue: str, auto_delete: bool = False, **options: Any) -> None:
        if auto_delete:
            self._auto_delete.add(queue)
        expires = (options.get("arguments") or {}).get("x-expires")
        self.declarations.declare(self.queues.named(queue).name, int(expires) if expires else None)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        exists: bool = self.declarations.exists(self.queues.named(queue).name)
        return exists

    def queue_declare(self, queue: str | None = None, passive: bool = False, **options: Any) -> Any:
        """Declare a queue; ``passive`` only asks whether there is one, and changes nothing."""
        if passive and queue and self._has_queue(queue):
            return virtual.base.queue_declare_ok_t(queue, self._size(queue), 0)
        return super().queue_declare(queue, passive=passive, **options)

    def _size(self, queue: str) -> int:
        stats = self.queues.named(queue).stats()
        return int(stats.ready + stats.delayed)

    def _purge(self, queue: str) -> int:
        return int(self.queues.named(queue).purge())

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Delete a queue. Messages that are leased or dead stay where they are."""
        target = self.queues.named(queue)
        if if_empty and self._size(queue):
            return
        for exchange, routing_key, arguments in list(self.state.queue_bindings(queue)):
            self.queue_unbind(queue, exchange, routing_key, arguments)
        self.state.queue_bindings_delete(queue)
        self._auto_delete.discard(queue)
        target.purge()
        stats = target.stats()
        self.declarations.remove(target.name, wholly=not (stats.in_flight or stats.dead))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        if self.typeof(exchange).type == "fanout":
            self.fanout.subscribe(queue, exchange, routing_key or "")
            self._listen_as_bound(queue)
        else:
            self._bindings.add(exchange, (routing_key or "", pattern or "", queue))

    def queue_unbind(
        self, queue: str, exchange: str = "", routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        """Undo a binding."""
        self.state.binding_delete(queue, exchange, routing_key)
        key, pattern, _queue = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
        self._bindings.remove(exchange, (key or "", pattern or "", queue))
        self.fanout.unsubscribe(queue, exchange)
        self._listen_as_bound(queue)

    def _listen_as_bound(self, queue: str) -> None:
        # a queue that is consumed already is read from another key now
        if queue in self._active_queues:
            self.intake.consume_from(self._active_queues)

    def get_table(self, exchange: str) -> list[Any]:
        """The bindings of an exchange that all clients made."""
        table: list[Any] = self._bindings.table(exchange)
        return table

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:
        """Queue arguments by RabbitMQ's names."""
        return to_rabbitmq_queue_arguments(arguments, **options)

    def close(self) -> None:
        """Cancel all consumers, and give back what they hold.

        When the server is away, what is still in use stays theirs, with its leases: a task that runs on can be acked
        when it is done. The rest is given back when the server answers.
        """
        if self.closed:
            return
        if self.connection.lost:
            self.qos.outlive(self.intake.abandon())
        else:
            self.send_acks()
            for queue in [name for name in self._auto_delete if name in self.fanout.subscriptions]:
                self.queue_delete(queue)
        super().close()
