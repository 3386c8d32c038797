"""Moving messages from one broker to another, or between queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import cycle, islice
from typing import Any

from kombu import Queue, eventloop
from kombu.common import maybe_declare

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.contrib.migrate.messages import expand_dest, migrate_task, republish
from svcjobs_celery_compat.contrib.migrate.progress import State, StopFiltering, filter_status
from svcjobs_celery_compat.utils.nodenames import worker_direct
from svcjobs_celery_compat.utils.text import str_to_list

__all__ = (
    "State",
    "StopFiltering",
    "expand_dest",
    "filter_callback",
    "filter_status",
    "migrate_task",
    "migrate_tasks",
    "move",
    "move_by_idmap",
    "move_by_taskmap",
    "move_direct",
    "move_direct_by_id",
    "move_task_by_id",
    "republish",
    "start_filter",
    "task_id_eq",
    "task_id_in",
)

Callback = Callable[..., Any]


def migrate_tasks(
    source: Any,
    dest: Any,
    migrate: Callback = migrate_task,
    app: Any = None,
    queues: Any = None,
    **kwargs: Any,
) -> State:
    """Move the task messages of one broker to another.

    Args:
        source: connection to the one.
        dest: connection to the other.
        migrate: called with producer, body and message.
        app: the app; the current one by default.
        queues: queues to move, or new names by old ones; all of the app when left out.
        **kwargs: see :func:`start_filter`.
    """
    app = app_or_default(app)
    names = prepare_queues(queues)
    producer = app.amqp.Producer(dest, auto_declare=False)
    migrate = partial(migrate, producer, queues=names)

    def on_declare_queue(queue: Any) -> None:
        new = queue(producer.channel)
        new.name = names.get(queue.name, queue.name)
        if new.routing_key == queue.name:
            new.routing_key = names.get(queue.name, new.routing_key)
        if new.exchange.name == queue.name:
            new.exchange.name = names.get(queue.name, queue.name)
        new.declare()

    return start_filter(app, source, migrate, queues=names, on_declare_queue=on_declare_queue, **kwargs)


def move(
    predicate: Callback,
    connection: Any = None,
    exchange: Any = None,
    routing_key: str | None = None,
    source: Any = None,
    app: Any = None,
    callback: Callback | None = None,
    limit: int | None = None,
    transform: Callback | None = None,
    **kwargs: Any,
) -> State:
    """Move the tasks that a function picks to another queue.

    Args:
        predicate: called with body and message; returns a pair of exchange and routing key, a :class:`kombu.Queue`,
            another true value for ``exchange`` and ``routing_key`` of this call, or a false one to leave it.
        connection: to the broker; one of the app's pool when left out.
        exchange: where to.
        routing_key: where to.
        source: queues to look through; those of the app when left out.
        app: the app; the current one by default.
        callback: called with state, body and message after each move.
        limit: most tasks to move.
        transform: called with what the predicate returned, returns what counts.
        **kwargs: see :func:`start_filter`.
    """
    app = app_or_default(app)
    queues = [_maybe_queue(app, queue) for queue in source or []] or None
    with app.connection_or_acquire(connection, pool=False) as conn:
        producer = app.amqp.Producer(conn)
        state = State()

        def on_task(body: Any, message: Any) -> None:
            chosen = predicate(body, message)
            if not chosen:
                return
            if transform:
                chosen = transform(chosen)
            if isinstance(chosen, Queue):
                maybe_declare(chosen, conn.default_channel)
                where = chosen.exchange.name, chosen.routing_key
            else:
                where = expand_dest(chosen, exchange, routing_key)
            republish(producer, message, exchange=where[0], routing_key=where[1])
            message.ack()
            state.filtered += 1
            if callback:
                callback(state, body, message)
            if limit and state.filtered >= limit:
                raise StopFiltering

        return start_filter(app, conn, on_task, consume_from=queues, **kwargs)


def task_id_eq(task_id: str, body: Mapping[str, Any], message: Any) -> bool:
    """Whether a message is of this task."""
    return bool(body["id"] == task_id)


def task_id_in(ids: Iterable[str], body: Mapping[str, Any], message: Any) -> bool:
    """Whether a message is of one of these tasks."""
    return body["id"] in ids


def prepare_queues(queues: Any) -> dict[str, str]:
    """New names by old ones out of text (``a:b,c``), a list, or a mapping."""
    if isinstance(queues, str):
        queues = queues.split(",")
    if isinstance(queues, list):
        queues = dict(tuple(islice(cycle(name.split(":")), 2)) for name in queues)
    return queues or {}


class Filterer:
    """Looks through queues; see :func:`start_filter`."""

    def __init__(
        self,
        app: Any,
        conn: Any,
        filter: Callback,
        limit: int | None = None,
        timeout: float = 1.0,
        ack_messages: bool = False,
        tasks: Any = None,
        queues: Any = None,
        callback: Callback | None = None,
        forever: bool = False,
        on_declare_queue: Callback | None = None,
        consume_from: Any = None,
        state: State | None = None,
        accept: Any = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        self.conn = conn
        self.filter = filter
        self.limit = limit
        self.timeout = timeout
        self.ack_messages = ack_messages
        self.forever = forever
        self.tasks = set(str_to_list(tasks) or [])
        self.queues = prepare_queues(queues)
        self.callback = callback
        self.on_declare_queue = on_declare_queue
        self.consume_from = [_maybe_queue(app, queue) for queue in consume_from or list(self.queues)]
        self.state = state or State()
        self.accept = accept

    def start(self) -> State:
        """Look through the queues until they are empty, or there are enough."""
        with self.prepare_consumer(self.create_consumer()):
            try:
                for _ in eventloop(self.conn, timeout=self.timeout, ignore_timeouts=self.forever):
                    pass
            except TimeoutError:
                pass  # nothing came for so long
            except StopFiltering:
                pass
        return self.state

    def update_state(self, body: Any, message: Any) -> None:
        """Count a message."""
        self.state.count += 1
        if self.limit and self.state.count >= self.limit:
            raise StopFiltering

    def ack_message(self, body: Any, message: Any) -> None:
        """Take a message out of its queue."""
        message.ack()

    def create_consumer(self) -> Any:
        """The consumer of the queues."""
        return self.app.amqp.TaskConsumer(self.conn, queues=self.consume_from or None, accept=self.accept)

    def prepare_consumer(self, consumer: Any) -> Any:
        """Tell the consumer what to do with each message."""
        steps = [self.filter, self.update_state]
        if self.ack_messages:
            steps.append(self.ack_message)
        if self.callback is not None:
            steps.append(partial(self.callback, self.state))
        for step in steps:
            consumer.register_callback(filter_callback(step, self.tasks) if self.tasks else step)
        self.declare_queues(consumer)
        return consumer

    def declare_queues(self, consumer: Any) -> None:
        """Make sure of the queues at the other end, and count what lies in them."""
        for queue in consumer.queues:
            if self.queues and queue.name not in self.queues:
                continue
            if self.on_declare_queue is not None:
                self.on_declare_queue(queue)
            try:
                _, waiting, _ = queue(consumer.channel).queue_declare(passive=True)
            except self.conn.channel_errors:
                continue  # there is none
            if waiting:
                self.state.total_apx += waiting


def filter_callback(callback: Callback, tasks: Iterable[str]) -> Callback:
    """A callback for the messages of some tasks only."""

    def filtered(body: Any, message: Any) -> Any:
        if tasks and body["task"] not in tasks:
            return None
        return callback(body, message)

    return filtered


def start_filter(
    app: Any,
    conn: Any,
    filter: Callback,
    limit: int | None = None,
    timeout: float = 1.0,
    ack_messages: bool = False,
    tasks: Any = None,
    queues: Any = None,
    callback: Callback | None = None,
    forever: bool = False,
    on_declare_queue: Callback | None = None,
    consume_from: Any = None,
    state: State | None = None,
    accept: Any = None,
    **kwargs: Any,
) -> State:
    """Call a function for each message in some queues.

    Args:
        app: the app.
        conn: connection to the broker.
        filter: called with body and message.
        limit: most messages to look at.
        timeout: seconds without a message that end it.
        ack_messages: whether messages are taken out of the queues.
        tasks: names of the tasks to look at, in text with commas, or a list; all when left out.
        queues: queues to look through, as :func:`prepare_queues` takes them.
        callback: called with state, body and message, last.
        forever: whether to wait for more, without end.
        on_declare_queue: called with each queue.
        consume_from: queues to look through, when ``queues`` has only names.
        state: counts; a new one by default.
        accept: content types.
        **kwargs: taken and left aside.

    Returns:
        the state.
    """
    return Filterer(
        app,
        conn,
        filter,
        limit=limit,
        timeout=timeout,
        ack_messages=ack_messages,
        tasks=tasks,
        queues=queues,
        callback=callback,
        forever=forever,
        on_declare_queue=on_declare_queue,
        consume_from=consume_from,
        state=state,
        accept=accept,
    ).start()


def move_task_by_id(task_id: str, dest: Any, **kwargs: Any) -> State:
    """Move one task to another queue.

    Args:
        task_id: the task.
        dest: the queue, or its name.
        **kwargs: see :func:`move`.
    """
    return move_by_idmap({task_id: dest}, **kwargs)


def move_by_idmap(map: Mapping[str, Any], **kwargs: Any) -> State:
    """Move tasks to queues, by their ids.

    Args:
        map: queues by id.
        **kwargs: see :func:`move`.
    """

    def queue_of(body: Any, message: Any) -> Any:
        return map.get(message.properties["correlation_id"])

    # when as many were moved as there are ids, there is no need to look further
    return move(queue_of, limit=len(map), **kwargs)


def move_by_taskmap(map: Mapping[str, Any], **kwargs: Any) -> State:
    """Move tasks to queues, by their names.

    Args:
        map: queues by name.
        **kwargs: see :func:`move`.
    """

    def queue_of(body: Any, message: Any) -> Any:
        return map.get(body["task"])

    return move(queue_of, **kwargs)


def _maybe_queue(app: Any, q: Any) -> Any:
    return app.amqp.queues[q] if isinstance(q, str) else q


move_direct = partial(move, transform=worker_direct)
move_direct_by_id = partial(move_task_by_id, transform=worker_direct)
move_direct_by_idmap = partial(move_by_idmap, transform=worker_direct)
move_direct_by_taskmap = partial(move_by_taskmap, transform=worker_direct)
