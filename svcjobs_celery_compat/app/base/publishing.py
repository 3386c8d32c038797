"""How an app sends task messages."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kombu import Exchange
from kombu.transport.native_delayed_delivery import calculate_routing_key
from kombu.utils.uuid import uuid

import svcjobs_celery_compat.app.base as _module
from svcjobs_celery_compat.exceptions import AlwaysEagerIgnored
from svcjobs_celery_compat.utils.functional import maybe_list
from svcjobs_celery_compat.utils.time import maybe_iso8601, maybe_make_aware, subtract_datetimes

logger = logging.getLogger("celery.app.base")

#: Stands for an argument that wasn't given, where None means something.
_OMITTED: Any = object()

_DELAYED_EXCHANGE = "celery_delayed_27"

DIRECT_EXCHANGE = (
    "Direct exchanges are not supported with native delayed delivery.\n"
    "{0} is a direct exchange but should be a topic exchange or a fanout exchange "
    "in order for native delayed delivery to work properly.\n"
    "If quorum queues are used, this task may block the worker process until the ETA arrives."
)


class Publishing:
    """The part of :class:`~svcjobs_celery_compat.Celery` that calls tasks by their names."""

    if TYPE_CHECKING:
        amqp: Any
        conf: Any
        backend: Any
        thread_oid: Any
        producer_pool: Any
        _tasks: Any
        AsyncResult: Any
        current_worker_task: Any
        now: Callable[[], datetime]
        producer_or_acquire: Callable[..., Any]

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        connection: Any = None,
        router: Any = None,
        result_cls: Any = None,
        expires: Any = _OMITTED,
        publisher: Any = None,
        link: Any = None,
        link_error: Any = None,
        add_to_parent: bool = True,
        group_id: str | None = None,
        group_index: int | None = None,
        retries: int = 0,
        chord: Any = None,
        reply_to: str | None = None,
        time_limit: Any = _OMITTED,
        soft_time_limit: Any = _OMITTED,
        root_id: str | None = None,
        parent_id: str | None = None,
        route_name: str | None = None,
        shadow: str | None = None,
        chain: Any = None,
        task_type: Any = None,
        replaced_task_nesting: int = 0,
        **options: Any,
    ) -> Any:
        """Call the task of that name, which needn't be known here. If it is, its options hold unless others are given.

        Parameters are those of :meth:`~svcjobs_celery_compat.app.task.Task.apply_async`, and:

        Parameters:
            connection: to send with, instead of one from the pool.
            router: instead of the one that ``task_routes`` makes.
            result_cls: the class of the result.
            add_to_parent: the result is one of the children of the task that calls.

        Raises:
            kombu.exceptions.OperationalError: the broker can't be reached.
        """
        amqp, conf = self.amqp, self.conf
        task_id = task_id or uuid()
        if conf.task_always_eager:
            warnings.warn(AlwaysEagerIgnored("task_always_eager has no effect on send_task"), stacklevel=2)

        given = {"expires": expires, "time_limit": time_limit, "soft_time_limit": soft_time_limit}
        options |= {key: value for key, value in given.items() if value is not _OMITTED}
        if task_type is None:
            options = {**self._options_of(name), **options}
        expires, time_limit, soft_time_limit = (options.pop(key, None) for key in given)
        ignore_result = options.pop("ignore_result", None)
        options = (router or amqp.router).route(options, route_name or name, args, kwargs, task_type)

        if eta or countdown:
            countdown = self._delayed_by_the_broker(options, eta, countdown)
        if expires is not None:
            options["expiration"] = self._seconds_until(expires)

        parent = self.current_worker_task
        if parent:
            root_id = root_id or parent.request.root_id or parent.request.id
            parent_id = parent_id or parent.request.id
            if conf.task_inherit_parent_priority:
                options.setdefault("priority", (parent.request.delivery_info or {}).get("priority"))

        message = amqp.create_task_message(
            task_id,
            name,
            args,
            kwargs,
            countdown,
            eta,
            group_id,
            group_index,
            expires,
            retries,
            chord,
            maybe_list(link),
            maybe_list(link_error),
            reply_to or self.thread_oid,
            time_limit,
            soft_time_limit,
            conf.task_send_sent_event,
            root_id,
            parent_id,
            shadow,
            chain,
            replaced_task_nesting=replaced_task_nesting,
            ignore_result=ignore_result,
            **options,
        )
        producer = producer or publisher
        if connection:
            producer = amqp.Producer(connection, auto_declare=False)
        with self.producer_or_acquire(producer) as sender, sender.connection._reraise_as_library_errors():
            if not ignore_result:
                # opens it: a broker that is away is found out in its own time, before anything listens for results
                getattr(sender, "channel", None)
                self.backend.on_task_call(sender, task_id)
            amqp.send_task_message(sender, name, message, **_for_publishing(options))

        result = (result_cls or self.AsyncResult)(task_id)
        # not an argument: classes of users may have the former signature
        result.ignored = bool(ignore_result)
        if add_to_parent and parent:
            parent.add_trail(result)
        return result

    def _options_of(self, name: str) -> dict[str, Any]:
        """The options that a task which is known here gives to its calls."""
        try:
            task = self._tasks[name]
        except KeyError:
            return {}
        of_task = getattr(task, "_get_exec_options", None)
        if not inspect.ismethod(of_task):
            return {}
        return {key: value for key, value in of_task().items() if value is not None}

    def _seconds_until(self, expires: Any) -> float:
        """Seconds until ``expires``, which may be a moment, its ISO form, or seconds; 0 for what is over."""
        if isinstance(expires, str):
            expires = maybe_iso8601(expires)
        if isinstance(expires, datetime):
            expires = subtract_datetimes(maybe_make_aware(expires), self.now()).total_seconds()
        return max(0, expires)  # type: ignore[no-any-return]  # a number

    def _delayed_by_the_broker(self, options: dict[str, Any], eta: Any, countdown: float | None) -> float | None:
        """Send to the exchange that delays, where the connection is one to RabbitMQ with quorum queues.

        Only a transport that the user named by its class can lead there. Returns the countdown of the message.
        """
        connection = self.producer_pool.connections.connection
        driver_type = connection.transport.driver_type
        quorum, _queue = _module.detect_quorum_queues(self, driver_type)
        if not quorum:
            return countdown
        queue = options.get("queue")
        if queue is not None:
            exchange, routing_key = queue.exchange, queue.routing_key
        else:
            exchange = Exchange(options["exchange"], type=options.get("exchange_type", "direct"))
            routing_key = options["routing_key"]
        if exchange.type == "direct":
            logger.warning(DIRECT_EXCHANGE.format(exchange.name))
            return countdown
        if eta:
            given: Any = maybe_iso8601(eta) if isinstance(eta, str) else eta
            moment = maybe_make_aware(given)
            countdown = subtract_datetimes(moment, self.now()).total_seconds()
        if countdown and countdown > 0:
            options.pop("queue", None)
            options["routing_key"] = calculate_routing_key(int(countdown), routing_key)
            options["exchange"] = Exchange(_DELAYED_EXCHANGE, type="topic")
        return countdown


def _for_publishing(options: dict[str, Any]) -> dict[str, Any]:
    """The options without those that only the message has."""
    stamps = options.get("stamped_headers") or ()
    of_message = {"argsrepr", "kwargsrepr", "origin", "stamped_headers", "stamps", *stamps}
    return {key: value for key, value in options.items() if key not in of_message}
