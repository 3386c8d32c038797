"""RabbitMQ as the old broker on the way back: a stage, and transactions.

RabbitMQ can't tell that it has a message already. So a message is put on a queue of the bridge's own first, its stage.
One that a bridge finds there, and svcjobs hasn't any more, goes on to its queue, in one transaction with its removal
from the stage; one that svcjobs still has is dropped, since it comes again. Only one bridge may consume a stage.

A transaction removes a message from the stage even when its queue refuses it. So a queue that may refuse gets its
messages with publisher confirms, and each leaves the stage after that: none is lost, but the one that is on its way
when the bridge is killed may come twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import amqp
import kombu
from amqp.exceptions import AccessRefused, AMQPError, ChannelError, MessageNacked, NotFound, PreconditionFailed

from svcjobs.errors import ConfigurationError, JobsError
from svcjobs_celery_compat.bridge.amqp_broker import CONNECT_SECONDS, HEARTBEAT_SECONDS
from svcjobs_celery_compat.bridge.amqp_refusal import may_refuse
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable
from svcjobs_celery_compat.bridge.returning import Held, Stay

TakeOver = Callable[[str, Sequence[Stay]], Sequence[bool]]
NO_ROUTE = 312
_PROPERTIES = ("delivery_mode", "priority", "correlation_id", "reply_to", "expiration", "message_id", "timestamp",
               "type", "user_id", "app_id")  # fmt: skip


def stage_of(name: str) -> str:
    """The queue where messages lie that are to go back to a queue."""
    return f"svcjobs.returning.{name}"


class AmqpReceiver:
    """Queues of RabbitMQ. Of several bridges one has a queue; BrokerUnavailable is what the others get.

    Args:
        url: as kombu takes it.
        names: of the queues.
        take_over: which of some stays of messages svcjobs still has. After the call nobody but the caller can finish
            them.
    """

    def __init__(self, url: str, names: Sequence[str], take_over: TakeOver) -> None:
        self._url = url
        self._names = sorted(names)  # two bridges that each wait for the other's would get nowhere
        self._take_over = take_over
        self._connection: Any = None
        self._beat_at = 0.0
        self._staged: dict[str, list[Any]] = defaultdict(list)
        self._settled: set[str] = set()

    def connect(self) -> None:
        self.close()
        self._staged.clear()
        options = {"read_timeout": CONNECT_SECONDS}
        self._connection = kombu.Connection(
            self._url, heartbeat=HEARTBEAT_SECONDS, connect_timeout=CONNECT_SECONDS, transport_options=options
        )
        with self._errors():
            self._connection.connect()
            self._channel: Any = self._connection.channel()
            self._channel.auto_decode = False
            for name in self._names:
                self._channel.queue_declare(name, passive=True)
            self._channel.tx_select()
            self._confirming: Any = self._connection.channel()
            self._confirmed = {name for name in self._names if may_refuse(self._connection, name)}
            self._producer = kombu.Producer(self._channel, exchange=kombu.Exchange(""), auto_declare=False)
            for name in self._names:
                self._consume(name)
            for name in self._names:
                self._settle(name)

    def put(self, held: Sequence[Held]) -> None:
        with self._errors():
            for one in held:
                self._settled.discard(one.queue)
                message = one.message
                properties = {name: value for name, value in message["properties"].items() if name in _PROPERTIES}
                with suppress(KeyError, TypeError, ValueError):  # text in milliseconds, which kombu takes in seconds
                    properties["expiration"] = float(properties.pop("expiration")) / 1000
                headers = {"job_id": one.job_id, "stay": one.stay, "headers": message["headers"]}
                self._producer.publish(
                    message["body"], routing_key=stage_of(one.queue), headers=headers, retry=False, mandatory=True,
                    content_type=message["content-type"], content_encoding=message["content-encoding"],
                    **{"delivery_mode": 2, **properties},
                )  # fmt: skip
            self._channel.tx_commit()

    def release(self, held: Sequence[Held]) -> None:
        with self._errors():
            for name in dict.fromkeys(one.queue for one in held):
                self._settle(name)

    def keep_alive(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + HEARTBEAT_SECONDS / 4
        with self._errors():
            self._connection.heartbeat_check()
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.001)

    def close(self) -> None:
        """Close the connection. A stage where nothing lies is removed."""
        if self._connection is not None:
            with suppress(AMQPError, OSError, *self._connection.connection_errors):
                for name in self._settled:
                    self._channel.queue_delete(stage_of(name), if_empty=True)
            with suppress(AMQPError, OSError, *self._connection.connection_errors):
                self._connection.release()
        self._connection = None
        self._settled.clear()

    def _consume(self, name: str) -> None:
        stage = stage_of(name)
        # a quorum queue has no exclusive consumer, whatever the default is
        kind = {"x-queue-type": "classic"}
        self._channel.queue_declare(stage, durable=True, auto_delete=False, arguments=kind)
        try:
            self._channel.basic_consume(stage, exclusive=True, callback=self._staged[name].append)
        except (AccessRefused, NotFound) as error:  # it removes the stage at its end
            if isinstance(error, AccessRefused) and "exclusive use" not in str(error):
                raise
            raise BrokerUnavailable(f"another bridge gives the messages of queue {name} back") from error

    def _settle(self, name: str) -> None:
        """Pass on what lies on the stage of a queue, but for what svcjobs has."""
        if messages := self._arrived(name):
            stays = [(str(message.headers["job_id"]), str(message.headers["stay"])) for message in messages]
            for message, is_here in zip(messages, self._take_over(name, stays), strict=True):
                if not is_here and name in self._confirmed:
                    self._publish_confirmed(name, message)
                elif not is_here:
                    self._channel.basic_publish(_original(message), "", name, mandatory=True)
                self._channel.basic_ack(message.delivery_tag)
                self._commit(name, message)
                self._staged[name].remove(message)
        self._settled.add(name)

    def _arrived(self, name: str) -> list[Any]:
        """All messages of a stage, once they have come."""
        while self._channel.queue_declare(stage_of(name), passive=True).message_count:
            pass
        self._channel.queue_declare(name, passive=True)  # its answer comes after what was on the way
        return list(self._staged[name])

    def _publish_confirmed(self, name: str, staged: Any) -> None:
        try:
            self._confirming.basic_publish_confirm(_original(staged), "", name, mandatory=True)
        except (MessageNacked, ChannelError) as error:
            if isinstance(error, ChannelError) and error.reply_code != NO_ROUTE:
                raise
            raise _refused(name) from error

    def _commit(self, name: str, staged: Any) -> None:
        try:
            self._channel.tx_commit()
        except ChannelError as error:
            if not isinstance(error, PreconditionFailed) and error.reply_code != NO_ROUTE:
                raise
            # it is off the stage, and its queue hasn't got it: a policy limits that, or it was removed
            channel = self._connection.channel()
            channel.tx_select()
            message = amqp.Message(staged.body, **staged.properties)
            channel.basic_publish(message, "", stage_of(name), mandatory=True)
            channel.tx_commit()
            raise _refused(name) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except JobsError:
            raise
        except (AccessRefused, NotFound) as error:
            raise ConfigurationError(f"the old broker refuses, or has no such queue: {error}") from error
        except (AMQPError, *self._connection.connection_errors) as error:
            raise BrokerUnavailable(f"the old broker: {type(error).__name__}: {error}") from error


def _original(staged: Any) -> Any:
    return amqp.Message(staged.body, **{**staged.properties, "application_headers": staged.headers["headers"]})


def _refused(name: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"queue {name} of the old broker refuses a message: is it full?")
