"""How messages are made, routed and sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from kombu import Consumer, Exchange, Queue, pools
from kombu.common import Broadcast
from kombu.utils.objects import cached_property as settable_property

from svcjobs_celery_compat import signals
from svcjobs_celery_compat.app import routes as _routes
from svcjobs_celery_compat.app.amqp.messages import INT_MIN as INT_MIN
from svcjobs_celery_compat.app.amqp.messages import Messages, task_message
from svcjobs_celery_compat.app.amqp.messages import utf8dict as utf8dict
from svcjobs_celery_compat.app.amqp.queues import QUEUE_FORMAT as QUEUE_FORMAT
from svcjobs_celery_compat.app.amqp.queues import Queues
from svcjobs_celery_compat.app.amqp.retrying import _callback_publish_retry, publish_with_retries
from svcjobs_celery_compat.transport.connection import Connection
from svcjobs_celery_compat.transport.producer import Producer

__all__ = ("AMQP", "Queues", "task_message")


class AMQP(Messages):
    """The messages of an app: ``app.amqp``."""

    Connection = Connection
    BrokerConnection = Connection  # its former name
    Consumer = Consumer
    Producer = Producer
    queues_cls = Queues

    #: Makes the exchanges of queues that are made by asking for them.
    autoexchange: Callable[[str], Any] | None = None

    _producer_pool: Any = None
    _rtable: Any = None

    def __init__(self, app: Any) -> None:
        self.app = app
        app.conf.bind_to(self._handle_conf_update)

    @cached_property
    def create_task_message(self) -> Callable[..., task_message]:
        """Makes a message of the protocol that ``task_protocol`` names."""
        protocols: dict[int, Callable[..., task_message]] = {1: self.as_task_v1, 2: self.as_task_v2}
        return protocols[self.app.conf.task_protocol]

    @settable_property
    def queues(self) -> Queues:
        """The queues of ``task_queues``, or without one the default queue."""
        return self.Queues(self.app.conf.task_queues)

    @queues.setter  # type: ignore[no-redef]  # a property that mypy can't know
    def queues(self, queues: Any) -> Queues:
        return self.Queues(queues)

    def Queues(
        self,
        queues: Any,
        create_missing: bool | None = None,
        create_missing_queue_type: str | None = None,
        create_missing_queue_exchange_type: str | None = None,
        autoexchange: Callable[[str], Any] | None = None,
        max_priority: int | None = None,
    ) -> Queues:
        """Return queues; the settings tell what isn't given."""
        conf = self.app.conf
        default_routing_key = conf.task_default_routing_key
        if not queues and conf.task_default_queue:
            arguments = {"x-queue-type": "quorum"} if conf.task_default_queue_type == "quorum" else None
            queues = (
                Queue(
                    conf.task_default_queue,
                    exchange=self.default_exchange,
                    routing_key=default_routing_key,
                    queue_arguments=arguments,
                ),
            )
        return self.queues_cls(
            queues,
            self.default_exchange,
            _first(create_missing, conf.task_create_missing_queues),
            create_missing_queue_type or conf.task_create_missing_queue_type,
            create_missing_queue_exchange_type or conf.task_create_missing_queue_exchange_type,
            autoexchange or self.autoexchange,
            _first(max_priority, conf.task_queue_max_priority),
            default_routing_key,
        )

    def Router(self, queues: Any = None, create_missing: bool | None = None) -> Any:
        """Return what finds the queue of a task by ``task_routes``."""
        create_missing = _first(create_missing, self.app.conf.task_create_missing_queues)
        return _routes.Router(self.routes, queues or self.queues, create_missing, app=self.app)

    @cached_property
    def router(self) -> Any:
        """What finds the queue of a task."""
        return self.Router()

    @property
    def routes(self) -> Any:
        """The setting ``task_routes``, prepared."""
        if self._rtable is None:
            self.flush_routes()
        return self._rtable

    def flush_routes(self) -> None:
        """Read ``task_routes`` anew."""
        self._rtable = _routes.prepare(self.app.conf.task_routes)

    def _handle_conf_update(self, *args: Any, **kwargs: Any) -> None:
        changed = {key for mapping in (*args, kwargs) for key in dict(mapping)}
        conf = self.app.conf
        prefix = (self.app.namespace or "").rstrip("_")
        names = {
            "task_routes",
            "CELERY_ROUTES",
            *([f"{prefix}_task_routes", f"{prefix}_TASK_ROUTES"] if prefix else ()),
        }
        if changed & names and conf is not None:
            self.flush_routes()
            self.router = self.Router()

    @cached_property
    def default_exchange(self) -> Any:
        """The exchange of queues that have none."""
        conf = self.app.conf
        return Exchange(conf.task_default_exchange, conf.task_default_exchange_type)

    @cached_property
    def default_queue(self) -> Any:
        """The queue of tasks that have no route."""
        return self.queues[self.app.conf.task_default_queue]

    @cached_property
    def utc(self) -> Any:
        """Whether times in messages of protocol 1 are in UTC."""
        return self.app.conf.enable_utc

    @cached_property
    def _event_dispatcher(self) -> Any:
        # events about sent tasks go out with their producer: there is nothing to connect
        return self.app.events.Dispatcher(enabled=False)

    @property
    def producer_pool(self) -> Any:
        """Producers on the app's pool of connections."""
        if self._producer_pool is None:
            connections = self.app.pool
            self._producer_pool = pools.ProducerPool(connections, limit=connections.limit, Producer=self.Producer)
        return self._producer_pool

    publisher_pool = producer_pool  # its former name

    def TaskConsumer(self, channel: Any, queues: Any = None, accept: Any = None, **kw: Any) -> Any:
        """Return a kombu consumer of the queues that tasks are consumed from."""
        if accept is None:
            accept = self.app.conf.accept_content
        return self.Consumer(channel, accept=accept, queues=queues or list(self.queues.consume_from.values()), **kw)

    def send_task_message(
        self,
        producer: Any,
        name: str,
        message: task_message,
        exchange: Any = None,
        routing_key: str | None = None,
        queue: Any = None,
        event_dispatcher: Any = None,
        retry: bool | None = None,
        retry_policy: Mapping[str, Any] | None = None,
        serializer: str | None = None,
        delivery_mode: Any = None,
        compression: str | None = None,
        declare: Any = None,
        headers: Mapping[str, Any] | None = None,
        exchange_type: str | None = None,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Publish a message, and tell receivers of the signals about it.

        Parameters:
            producer: a kombu producer.
            name: of the task, the sender of the signals.
            queue: a queue or its name; the default one if there is no exchange, either.
            event_dispatcher: sends the event ``task-sent``.
            kwargs: further properties of the message.

        Raises:
            kombu.exceptions.OperationalError: the broker can't be reached.
        """
        conf = self.app.conf
        if queue is None and exchange is None:
            queue = self.default_queue
        if isinstance(queue, str):
            queue = self.queues[queue]
        queue_exchange = queue.exchange if queue is not None else None
        if delivery_mode is None:
            delivery_mode = getattr(queue_exchange, "delivery_mode", None) or conf.task_default_delivery_mode
        exchange_type = exchange_type or getattr(queue_exchange, "type", None) or "direct"
        if queue is not None and exchange_type == "direct" and not (exchange and routing_key):
            # straight into the queue: nothing need be bound
            exchange, routing_key = "", queue.name
        elif exchange is None and queue is not None:
            exchange = queue.exchange.name or self.default_exchange.name
            routing_key = routing_key or queue.routing_key or conf.task_default_routing_key
        if declare is None and queue is not None and not isinstance(queue, Broadcast):
            declare = [queue]

        headers = {**message.headers, **(headers or {})}
        properties = {**message.properties, **kwargs}
        retry = conf.task_publish_retry if retry is None else retry
        policy = {**conf.task_publish_retry_policy, **(retry_policy or {})}
        signals.before_task_publish.send(
            sender=name,
            body=message.body,
            exchange=exchange,
            routing_key=routing_key,
            declare=declare,
            headers=headers,
            properties=properties,
            retry_policy=policy,
        )
        times = {"timeout": timeout, "confirm_timeout": confirm_timeout}
        properties |= {key: value for key, value in times.items() if value is not None}
        follows_a_task = bool(retry and _callback_publish_retry.get())

        def publish() -> Any:
            return producer.publish(
                message.body,
                exchange=exchange,
                routing_key=routing_key,
                serializer=serializer or conf.task_serializer,
                compression=compression or conf.task_compression,
                retry=retry and not follows_a_task,
                retry_policy=policy,
                delivery_mode=delivery_mode,
                declare=declare,
                headers=headers,
                **properties,
            )

        if follows_a_task:
            sent = publish_with_retries(publish, producer, policy, conf.task_publish_retry_policy)
        else:
            sent = publish()
        self._tell(name, message, headers, exchange, routing_key)
        if message.sent_event:
            message.sent_event.update(
                queue=queue.name if queue is not None else None,
                exchange=getattr(exchange, "name", exchange),
                routing_key=routing_key,
            )
            (event_dispatcher or self._event_dispatcher).publish(
                "task-sent", message.sent_event, producer, retry=retry, retry_policy=policy
            )
        return sent

    def _tell(self, name: str, message: task_message, headers: Any, exchange: Any, routing_key: Any) -> None:
        body = message.body
        signals.after_task_publish.send(
            sender=name, body=body, headers=headers, exchange=exchange, routing_key=routing_key
        )
        if not signals.task_sent.receivers:
            return
        if isinstance(body, tuple):
            task_id, args, kwargs, eta, group = headers["id"], body[0], body[1], headers["eta"], headers["group"]
        else:
            task_id, args, kwargs, eta, group = (body[key] for key in ("id", "args", "kwargs", "eta", "taskset"))
        signals.task_sent.send(
            sender=name, task_id=task_id, task=name, args=args, kwargs=kwargs, eta=eta, taskset=group
        )

    def _retry_publish(self, publish: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``publish``; each message that it sends is tried again by itself."""
        if self.app.conf.task_always_eager:
            return publish(*args, **kwargs)
        token = _callback_publish_retry.set(True)
        try:
            return publish(*args, **kwargs)
        finally:
            _callback_publish_retry.reset(token)


def _first(given: Any, default: Any) -> Any:
    return default if given is None else given
