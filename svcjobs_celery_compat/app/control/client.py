"""Telling workers what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import cached_property
from multiprocessing.util import register_after_fork
from typing import Any

from kombu.pidbox import Mailbox
from kombu.utils.functional import lazy

from svcjobs_celery_compat.app.control.inspection import Inspect
from svcjobs_celery_compat.app.control.revocations import Revocations
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.transport.queues import prefix_of

TERM_SIGNAME = "SIGTERM"

Destination = Any
"""Names of workers in a list; all workers when left out."""


class Control:
    """Commands for workers. Each takes the further arguments of :meth:`broadcast`.

    Args:
        app: the app.

    Raises:
        ImproperlyConfigured: ``control_queue_durable`` and ``control_queue_exclusive`` are both set.
    """

    Mailbox = Mailbox

    def __init__(self, app: Any = None) -> None:
        self.app = app
        conf = app.conf
        if conf.control_queue_durable and conf.control_queue_exclusive:
            raise ImproperlyConfigured(
                "control_queue_durable and control_queue_exclusive can't both be set: an exclusive queue ends with its "
                "connection; set one of them to False"
            )
        self.mailbox = self.Mailbox(
            conf.control_exchange,
            type="fanout",
            accept=conf.accept_content,
            serializer=conf.task_serializer,
            producer_pool=lazy(lambda: self.app.amqp.producer_pool),
            queue_ttl=conf.control_queue_ttl,
            reply_queue_ttl=conf.control_queue_ttl,
            queue_expires=conf.control_queue_expires,
            queue_exclusive=conf.control_queue_exclusive,
            queue_durable=conf.control_queue_durable,
            reply_queue_expires=conf.control_queue_expires,
        )
        register_after_fork(self, Control._after_fork)

    def _after_fork(self) -> None:
        # a child has pools of its own
        vars(self.mailbox).pop("producer_pool", None)

    @cached_property
    def inspect(self) -> type[Inspect]:
        """:class:`Inspect` of this app: call it."""
        return self.app.subclass_with_self(Inspect, reverse="control.inspect")  # type: ignore[no-any-return]

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Destination = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float = 1.0,
        limit: int | None = None,
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **extra_kwargs: Any,
    ) -> Any:
        """Send a command to workers.

        Args:
            command: its name.
            arguments: its arguments.
            destination: names of workers in a list; all when left out.
            connection: to the broker; one of the app's pool when left out.
            reply: whether to wait for replies, and return them.
            timeout: seconds to wait for each.
            limit: how many replies to wait for.
            callback: called with each reply as it comes.
            channel: to send on.
            pattern: which workers are meant, for ``matcher``.
            matcher: ``glob`` or ``pcre``.
            **extra_kwargs: more arguments of the command.

        Raises:
            ValueError: ``destination`` isn't a list.
        """
        chosen = {"pattern": pattern, "matcher": matcher} if pattern and matcher else {}
        with self.app.connection_or_acquire(connection) as conn:
            return self.mailbox(conn)._broadcast(  # kombu has it for this
                command,
                {**(arguments or {}), **extra_kwargs},
                destination,
                reply,
                timeout,
                limit,
                callback,
                channel=channel,
                **chosen,
            )

    # what waits, and what runs

    def purge(self, connection: Any = None) -> int:
        """Remove all tasks that wait, and return how many.

        Args:
            connection: to the broker; one of the app's pool when left out.
        """
        with self.app.connection_for_write() if connection is None else nullcontext(connection) as conn:
            return self.app.amqp.TaskConsumer(conn).purge()  # type: ignore[no-any-return]

    discard_all = purge

    def revoke(
        self,
        task_id: str | Iterable[str],
        destination: Destination = None,
        terminate: bool = False,
        signal: str = TERM_SIGNAME,
        **kwargs: Any,
    ) -> Any:
        """Have tasks not run.

        Workers that are down hear of it when they start: ids are also kept in the broker's Redis, until the results
        expire of the latest task that waits for its time.

        Args:
            task_id: an id, or several.
            destination: see :meth:`broadcast`.
            terminate: whether to end the process of a task that runs.
            signal: what it is sent.
            **kwargs: see :meth:`broadcast`.
        """
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        self._remember(kwargs.get("connection"), lambda kept, *where: kept.add(ids, *where))
        return self.broadcast(
            "revoke",
            destination=destination,
            arguments={"task_id": task_id, "terminate": terminate, "signal": signal},
            **kwargs,
        )

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: Destination = None,
        terminate: bool = False,
        signal: str = TERM_SIGNAME,
        **kwargs: Any,
    ) -> Any:
        """Have tasks with a stamp not run. What workers name in their replies is revoked by its id, too.

        Args:
            headers: value, or values, by header.
            destination: see :meth:`broadcast`.
            terminate: see :meth:`revoke`.
            signal: see :meth:`revoke`.
            **kwargs: see :meth:`broadcast`.
        """
        self._remember(kwargs.get("connection"), lambda kept, *where: kept.add_stamps(headers, *where))
        replies = self.broadcast(
            "revoke_by_stamped_headers",
            destination=destination,
            arguments={"headers": headers, "terminate": terminate, "signal": signal},
            **kwargs,
        )
        named = {task_id for node in replies or () for reply in node.values() for task_id in _ids_in(reply)}
        if not named:
            return replies
        return self.revoke(sorted(named), destination=destination, terminate=terminate, signal=signal, **kwargs)

    def terminate(
        self, task_id: str | Iterable[str], destination: Destination = None, signal: str = TERM_SIGNAME, **kwargs: Any
    ) -> Any:
        """Revoke, and end what runs; see :meth:`revoke`."""
        return self.revoke(task_id, destination=destination, terminate=True, signal=signal, **kwargs)

    def _remember(self, connection: Any, add: Callable[..., None]) -> None:
        with self.app.connection_or_acquire(connection) as conn:
            kept = Revocations.of(conn)
            if kept is not None:
                root = conn.default_channel.options.root
                expires = self.app.conf.result_expires
                seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
                add(kept, [prefix_of(name, root) for name in self.app.amqp.queues], seconds)

    # workers

    def ping(self, destination: Destination = None, timeout: float = 1.0, **kwargs: Any) -> Any:
        """Which workers live: ``[{'celery@host': {'ok': 'pong'}}]``."""
        return self.broadcast("ping", reply=True, arguments={}, destination=destination, timeout=timeout, **kwargs)

    def shutdown(self, destination: Destination = None, **kwargs: Any) -> Any:
        """Stop workers."""
        return self.broadcast("shutdown", arguments={}, destination=destination, **kwargs)

    def heartbeat(self, destination: Destination = None, **kwargs: Any) -> Any:
        """Have workers send a heartbeat now."""
        return self.broadcast("heartbeat", arguments={}, destination=destination, **kwargs)

    def rate_limit(self, task_name: str, rate_limit: int | str, destination: Destination = None, **kwargs: Any) -> Any:
        """Set how often each worker may run a task.

        Args:
            task_name: the task.
            rate_limit: times a second, or text: ``100/m``.
            destination: see :meth:`broadcast`.
            **kwargs: see :meth:`broadcast`.
        """
        arguments = {"task_name": task_name, "rate_limit": rate_limit}
        return self.broadcast("rate_limit", destination=destination, arguments=arguments, **kwargs)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Destination = None,
        **kwargs: Any,
    ) -> Any:
        """Set the time limits of a task, in seconds."""
        arguments = {"task_name": task_name, "hard": hard, "soft": soft}
        return self.broadcast("time_limit", arguments=arguments, destination=destination, **kwargs)

    def enable_events(self, destination: Destination = None, **kwargs: Any) -> Any:
        """Have workers send events."""
        return self.broadcast("enable_events", arguments={}, destination=destination, **kwargs)

    def disable_events(self, destination: Destination = None, **kwargs: Any) -> Any:
        """Have them send none."""
        return self.broadcast("disable_events", arguments={}, destination=destination, **kwargs)

    def election(self, id: str, topic: str, action: Any = None, connection: Any = None) -> None:
        """Have workers elect one of them for a topic, which does the action."""
        arguments = {"id": id, "topic": topic, "action": action}
        self.broadcast("election", connection=connection, destination=None, arguments=arguments)

    # queues and pools

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        destination: Destination = None,
        **kwargs: Any,
    ) -> Any:
        """Have workers consume from another queue.

        Args:
            queue: its name; exchange and routing key are the same when left out.
            exchange: its exchange.
            exchange_type: the type of that.
            routing_key: its routing key.
            options: more, as :meth:`kombu.Queue.from_dict` takes them.
            destination: see :meth:`broadcast`.
            **kwargs: see :meth:`broadcast`.
        """
        arguments = {"queue": queue, "exchange": exchange, "exchange_type": exchange_type, "routing_key": routing_key}
        return self.broadcast(
            "add_consumer", destination=destination, arguments={**arguments, **(options or {})}, **kwargs
        )

    def cancel_consumer(self, queue: str, destination: Destination = None, **kwargs: Any) -> Any:
        """Have workers consume from a queue no longer."""
        return self.broadcast("cancel_consumer", destination=destination, arguments={"queue": queue}, **kwargs)

    def pool_grow(self, n: int = 1, destination: Destination = None, **kwargs: Any) -> Any:
        """Have pools grow by ``n``."""
        return self.broadcast("pool_grow", arguments={"n": n}, destination=destination, **kwargs)

    def pool_shrink(self, n: int = 1, destination: Destination = None, **kwargs: Any) -> Any:
        """Have pools shrink by ``n``."""
        return self.broadcast("pool_shrink", arguments={"n": n}, destination=destination, **kwargs)

    def autoscale(self, max: int, min: int, destination: Destination = None, **kwargs: Any) -> Any:
        """Set between which sizes pools scale themselves."""
        return self.broadcast("autoscale", arguments={"max": max, "min": min}, destination=destination, **kwargs)

    def pool_restart(
        self,
        modules: Iterable[str] | None = None,
        reload: bool = False,
        reloader: Any = None,
        destination: Destination = None,
        **kwargs: Any,
    ) -> Any:
        """Restart the pools.

        Args:
            modules: to import.
            reload: whether to import anew what was imported before.
            reloader: the function for that.
            destination: see :meth:`broadcast`.
            **kwargs: see :meth:`broadcast`.
        """
        arguments = {"modules": modules, "reload": reload, "reloader": reloader}
        return self.broadcast("pool_restart", arguments=arguments, destination=destination, **kwargs)


def _ids_in(reply: Any) -> Iterable[str]:
    """The task ids that a worker's reply holds; text is a message for people."""
    found = reply.get("ok") if isinstance(reply, Mapping) else None
    return found if isinstance(found, list | tuple | set | frozenset) else ()
