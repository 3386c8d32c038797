"""What user code and remote control find as ``worker.consumer``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from kombu.utils.encoding import safe_str

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.exceptions import WorkerShutdown, WorkerTerminate
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker import state

__all__ = ("Consumer",)

logger = get_logger("celery.worker.consumer.consumer")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class TaskConsumer:
    """The queues that tasks come from, by what kombu's consumer has of them.

    Args:
        channel: of the worker's connection.
        queues: kombu's, by name.
    """

    def __init__(self, channel: Any, queues: Any) -> None:
        self.channel = channel
        self._queues = queues

    @property
    def queues(self) -> list[Any]:
        """The queues."""
        return list(self._queues.consume_from.values())

    def consuming_from(self, queue: Any) -> bool:
        """Whether tasks come from a queue."""
        return getattr(queue, "name", queue) in self._queues.consume_from


class Consumer:
    """Serves a connection to the broker in a thread: remote control, heartbeats, and the consumers of user's steps.

    Args:
        controller: the worker.
        app: its app.
        hostname: its name.
        pool: its pool.
        timer: runs what is due.
        initial_prefetch_count, prefetch_multiplier: as Celery has them; the engine measures what to fetch instead.
    """

    class Blueprint(bootsteps.Blueprint):
        """The steps of a consumer."""

        name = "Consumer"
        default_steps = [  # noqa: RUF012 - Celery's extension point
            "svcjobs_celery_compat.worker.consumer.connection:Connection",
            "svcjobs_celery_compat.worker.consumer.mingle:Mingle",
            "svcjobs_celery_compat.worker.consumer.events:Events",
            "svcjobs_celery_compat.worker.consumer.gossip:Gossip",
            "svcjobs_celery_compat.worker.consumer.heart:Heart",
            "svcjobs_celery_compat.worker.consumer.control:Control",
            "svcjobs_celery_compat.worker.consumer.tasks:Tasks",
            "svcjobs_celery_compat.worker.consumer.agent:Agent",
        ]

    connection: Any = None
    task_consumer: Any = None
    event_dispatcher: Any = None
    heart: Any = None
    restart_count = -1

    def __init__(
        self,
        controller: Any = None,
        app: Any = None,
        hostname: str | None = None,
        pool: Any = None,
        timer: Any = None,
        initial_prefetch_count: int = 2,
        prefetch_multiplier: int = 2,
        **options: Any,
    ) -> None:
        self.controller = controller
        self.app = app
        self.hostname = hostname
        self.pool = pool
        self.timer = timer
        self.initial_prefetch_count = initial_prefetch_count
        self.prefetch_multiplier = prefetch_multiplier
        self.steps: list[Any] = []
        self._pending_operations: deque[Callable[[], object]] = deque()
        self.stopping = False  # no Event: a signal handler that sets one may wait for the thread that it interrupts
        self._said_ready = False
        errors = app.connection_for_read()
        self.connection_errors, self.channel_errors = errors.connection_errors, errors.channel_errors
        self.blueprint = self.Blueprint(steps=app.steps["consumer"])
        self.blueprint.apply(self, **options)

    def __repr__(self) -> str:
        return f"<Consumer: {self.hostname} ({self.blueprint.human_state()})>"

    # the thread

    def start(self) -> None:
        """Serve until :meth:`stop`; a lost connection is made again."""
        pause = FIRST_PAUSE_SECONDS
        while not self.stopping:
            self.restart_count += 1
            try:
                self.blueprint.start(self)
                pause = FIRST_PAUSE_SECONDS
                if not self._said_ready:
                    self._said_ready = True
                    self.on_ready()
                self._serve()
            except (WorkerShutdown, WorkerTerminate) as exc:
                self.controller.stop_from_remote(exc)
                break
            except self.connection_errors as exc:
                logger.warning(
                    "consumer: Connection to broker lost (%s). Trying to re-establish the connection...", exc
                )
                self.blueprint.restart(self)
                self._rest(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self.blueprint.stop(self)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _serve(self) -> None:
        while not self.stopping:
            state.maybe_shutdown()
            self.perform_pending_operations()
            try:
                self.connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Let :meth:`start` return."""
        self.stopping = True

    def shutdown(self) -> None:
        """Close the channels of the steps."""
        self.blueprint.send_all(self, "shutdown", "shutdown", propagate=False)

    def call_soon(self, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call in the consumer's thread."""
        self._pending_operations.append(lambda: call(*args, **kwargs))

    def perform_pending_operations(self) -> None:
        """Do what :meth:`call_soon` was given."""
        while self._pending_operations:
            try:
                self._pending_operations.popleft()()
            except Exception as exc:
                logger.exception("A pending operation failed: %r", exc)

    # what it is asked for

    def add_task_queue(
        self, queue: Any, exchange: Any = None, exchange_type: str | None = None, routing_key: str | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        """Take tasks from one more queue; one that isn't configured is declared, as ``direct`` of its own name."""
        queues = self.app.amqp.queues
        if queue in queues:
            found = queues[queue]
            queues.select_add(found.name) if found.name not in queues.consume_from else None
        else:
            found = queues.select_add(
                queue,
                exchange=queue if exchange is None else exchange,
                exchange_type="direct" if exchange_type is None else exchange_type,
                routing_key=queue if routing_key is None else routing_key,
                **options,
            )
        self.controller.crew.take_from(found)
        logger.info("Started consuming from %s", safe_str(queue))

    def cancel_task_queue(self, queue: Any) -> None:
        """Take no more tasks from a queue."""
        self.app.amqp.queues.deselect(queue)
        self.controller.crew.leave(queue)

    def reset_rate_limits(self) -> None:
        """Rate limits of tasks have changed; they are looked up at each task."""

    def update_strategies(self) -> None:
        """Tasks were registered; they are looked up at each message."""

    def on_ready(self) -> None:
        """All steps have started."""
        self.controller.ready()
