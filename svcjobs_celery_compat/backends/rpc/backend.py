"""Results that go back to the process that sent their task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import kombu
from kombu.utils.compat import register_after_fork

from svcjobs_celery_compat import states
from svcjobs_celery_compat._state import current_task, task_join_will_block
from svcjobs_celery_compat.backends import rpc as names
from svcjobs_celery_compat.backends.asynchronous import AsyncBackendMixin
from svcjobs_celery_compat.backends.base import Backend
from svcjobs_celery_compat.backends.base.encoding import MESSAGE_BUFFER_MAX
from svcjobs_celery_compat.backends.rpc.consumer import ResultConsumer
from svcjobs_celery_compat.utils.collections import BufferMap

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery

E_NO_CHORD_SUPPORT = """\
The "rpc" result backend does not support chords!

Note that a group chained with a task is also upgraded to be a chord, as this pattern requires synchronization.
Set result_backend to one that supports chords: redis, cache or a database.
"""


class BacklogLimitExceeded(Exception):
    """Too many results of other tasks lie before the one that was asked for."""


class RPCBackend(Backend, AsyncBackendMixin):
    """Results as messages to the reply queue of whoever sent the task.

    A result is there once: it can be asked for by the process that sent the task only. Without ``result_persistent``
    the messages don't outlive a restart of the broker.
    """

    Exchange = kombu.Exchange
    Producer = kombu.Producer
    Consumer = kombu.Consumer
    ResultConsumer: Any = ResultConsumer
    BacklogLimitExceeded = BacklogLimitExceeded

    persistent = False
    supports_autoexpire = True
    supports_native_join = True

    class Queue(kombu.Queue):
        """A reply queue: it goes when nobody uses it any more."""

        can_cache_declaration = False

    def __init__(
        self,
        app: Celery,
        connection: Any = None,
        exchange: str | None = None,
        exchange_type: str | None = None,
        persistent: bool | None = None,
        serializer: str | None = None,
        auto_delete: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(app, **kwargs)
        conf = self.app.conf
        self._connection = connection
        self._out_of_band: dict[str, Any] = {}
        self.persistent = self.prepare_persistent(persistent)
        self.delivery_mode = 2 if self.persistent else 1
        self.exchange = self._create_exchange(
            exchange or conf.result_exchange, exchange_type or conf.result_exchange_type, self.delivery_mode
        )
        self.serializer = serializer or conf.result_serializer
        self.auto_delete = auto_delete
        self.result_consumer = self.ResultConsumer(
            self, self.app, self.accept, self._pending_results, self._pending_messages
        )
        if register_after_fork is not None:
            register_after_fork(self, _after_fork)

    def _after_fork(self) -> None:
        """What the parent was told isn't for us."""
        self._pending_results.concrete.clear()
        self._pending_results.weak.clear()
        self._pending_messages = BufferMap(MESSAGE_BUFFER_MAX)
        self.result_consumer._pending_messages = self._pending_messages
        self._out_of_band.clear()
        self._cache.clear()
        self.result_consumer._after_fork()

    def _create_exchange(self, name: str, type: str = "direct", delivery_mode: int = 2) -> Any:
        return self.Exchange("")  # the default exchange: to a queue by its name

    def _create_binding(self, task_id: str) -> Any:
        return self.binding

    @property
    def binding(self) -> Any:
        """The reply queue of this thread."""
        return self.Queue(self.oid, self.exchange, self.oid, durable=self.persistent or True, auto_delete=True,
                          expires=self.expires)  # fmt: skip

    @property
    def oid(self) -> str:
        """The name of this thread's reply queue."""
        name: str = self.app.thread_oid
        return name

    def ensure_chords_allowed(self) -> None:
        """Raise NotImplementedError: a result can be read once, and not by the workers."""
        raise NotImplementedError(E_NO_CHORD_SUPPORT.strip())

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Declare the reply queue before a task is sent that will send to it."""
        if not task_join_will_block():
            names.maybe_declare(self.binding(producer.channel), retry=True)

    def destination_for(self, task_id: str, request: Any) -> tuple[str, str]:
        """Routing key and correlation id of a result.

        Raises:
            RuntimeError: no task runs here, and no request is given.
        """
        try:
            request = request or current_task.request
        except AttributeError:
            raise RuntimeError(f"RPC backend missing task request for {task_id!r}") from None
        return request.reply_to, request.correlation_id or task_id

    def on_reply_declare(self, task_id: str) -> Any:
        """Nothing to declare: whoever sent the task did."""

    def on_result_fulfilled(self, result: Any) -> None:
        """Nothing to give back: the reply queue serves other tasks too."""

    def forget(self, task_id: str) -> None:
        """Drop what this process was told of a task."""
        super().forget(task_id)
        self._out_of_band.pop(task_id, None)
        while self._pending_messages.take(task_id, None) is not None:
            pass

    def _forget(self, task_id: str) -> None:
        """Nothing is stored."""

    def as_uri(self, include_password: bool = True) -> str:
        """``rpc://``."""
        return "rpc://"

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Send the state and result of a task to whoever sent it; nothing, when nobody asked for it."""
        routing_key, correlation_id = self.destination_for(task_id, request)
        if not routing_key:
            return None
        with self.app.amqp.producer_pool.acquire(block=True) as producer:
            producer.publish(
                self._to_result(task_id, state, result, traceback, request),
                exchange=self.exchange, routing_key=routing_key, correlation_id=correlation_id,
                serializer=self.serializer, retry=True, retry_policy=self.retry_policy,
                declare=self.on_reply_declare(task_id), delivery_mode=self.delivery_mode,
            )  # fmt: skip
        return result

    def _to_result(self, task_id: str, state: str, result: Any, traceback: Any, request: Any) -> dict[str, Any]:
        meta = {
            "task_id": task_id,
            "status": state,
            "result": self.encode_result(result, state),
            "traceback": traceback,
            "children": self.current_task_children(request),
        }
        if request and self.app.conf.result_extended:
            self._extend(meta, request, encode=False)
        return meta

    def on_out_of_band_result(self, task_id: str, message: Any) -> None:
        """A message of another task came by."""
        if self.result_consumer:
            self.result_consumer.on_out_of_band_result(message)
        self._out_of_band[task_id] = message

    def get_task_meta(self, task_id: str, backlog_limit: int = 1000) -> dict[str, Any]:
        """What this process was told of a task, or finds in its reply queue.

        Raises:
            BacklogLimitExceeded: there are more messages than `backlog_limit`.
        """
        if task_id in self._cache:
            cached: dict[str, Any] = self._cache[task_id]
            return cached
        known = self._known_final(task_id)
        if known is not None:
            return known
        aside, latest = self._out_of_band.pop(task_id, None), None
        for message in self._slurp_from_queue(task_id, self.accept, backlog_limit):
            if self._get_message_task_id(message) != task_id:
                self._put_aside(message)
                continue
            if latest is not None:
                latest.ack()
            latest = message
        if latest is None:
            return self._state_of(aside)
        if latest.payload["status"] in states.READY_STATES:
            return self._settle(latest)
        latest.requeue()
        return self._state_of(latest)

    poll = get_task_meta  # its old name

    def _known_final(self, task_id: str) -> dict[str, Any] | None:
        meta = self._pending_messages.take(task_id, None)
        if meta is None:
            return None
        self._pending_messages.put(task_id, meta)
        return self._remember(task_id, meta)

    def _state_of(self, message: Any) -> dict[str, Any]:
        if message is None:
            return {"status": states.PENDING, "result": None}
        return self.meta_from_decoded(dict(message.payload))

    def _put_aside(self, message: Any) -> None:
        """Keep what came for another task, and take the message off the queue."""
        message.ack()
        if message.payload["status"] in states.READY_STATES:
            self.result_consumer.on_state_change(message.payload, message)
        else:
            self._out_of_band[self._get_message_task_id(message)] = message

    def _settle(self, message: Any) -> dict[str, Any]:
        meta: dict[str, Any] = message.payload
        message.ack()
        self.result_consumer.on_state_change(meta, message)
        return self._remember(meta["task_id"], meta)

    def _remember(self, task_id: str, meta: dict[str, Any]) -> dict[str, Any]:
        final = self.meta_from_decoded(dict(meta))
        self._cache[task_id] = final
        return final

    def _slurp_from_queue(self, task_id: str, accept: Any, limit: int = 1000, no_ack: bool = False) -> Iterator[Any]:
        with self.app.pool.acquire_channel(block=True) as (_, channel):
            queue = self._create_binding(task_id)(channel)
            queue.declare()
            for _ in range(limit):
                message = queue.get(accept=accept, no_ack=no_ack)
                if not message:
                    return
                yield message
        raise self.BacklogLimitExceeded(task_id)

    def _get_message_task_id(self, message: Any) -> str:
        """The task that a message tells of: it may be in the properties already."""
        try:
            task_id: str = message.properties["correlation_id"]
        except (AttributeError, KeyError):
            task_id = message.payload["task_id"]
        return task_id

    def revive(self, channel: Any) -> None:
        """Nothing to do: channels are got when they are needed."""

    def reload_task_result(self, task_id: str) -> None:
        """Raise NotImplementedError: a result comes once."""
        raise NotImplementedError("reload_task_result is not supported by this backend.")

    def reload_group_result(self, task_id: str) -> None:
        """Raise NotImplementedError: groups aren't kept."""
        raise NotImplementedError("reload_group_result is not supported by this backend.")

    def save_group(self, group_id: str, result: Any) -> Any:
        """Raise NotImplementedError: groups aren't kept."""
        raise NotImplementedError("save_group is not supported by this backend.")

    def restore_group(self, group_id: str, cache: bool = True) -> Any:
        """Raise NotImplementedError: groups aren't kept."""
        raise NotImplementedError("restore_group is not supported by this backend.")

    def delete_group(self, group_id: str) -> Any:
        """Raise NotImplementedError: groups aren't kept."""
        raise NotImplementedError("delete_group is not supported by this backend.")

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        given = {
            "connection": self._connection, "exchange": self.exchange.name, "exchange_type": self.exchange.type,
            "persistent": self.persistent, "serializer": self.serializer, "auto_delete": self.auto_delete,
            "expires": self.expires,
        }  # fmt: skip
        return super().__reduce__(args, {**given, **(kwargs or {})})


def _after_fork(backend: RPCBackend) -> None:
    backend._after_fork()
