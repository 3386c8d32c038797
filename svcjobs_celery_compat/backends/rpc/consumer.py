"""The messages of a reply queue."""

from __future__ import annotations

from contextlib import suppress
from time import sleep
from typing import Any

import kombu

from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends.asynchronous import BaseResultConsumer


class ResultConsumer(BaseResultConsumer):
    """Fetches the messages of the reply queue."""

    Consumer = kombu.Consumer

    _connection: Any = None
    _consumer: Any = None
    _no_ack = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_binding = self.backend._create_binding

    def start(self, initial_task_id: str, no_ack: bool = True, **kwargs: Any) -> None:
        """Connect, and consume from the reply queue."""
        self._connection = self.app.connection()
        self._connection_errors = self._connection.connection_errors + self._connection.channel_errors
        self._no_ack = no_ack
        self._consume([self._create_binding(initial_task_id)])

    def _consume(self, queues: Any) -> None:
        self._consumer = self.Consumer(
            self._connection.default_channel, queues, callbacks=[self.on_state_change], no_ack=self._no_ack,
            accept=self.accept,
        )  # fmt: skip
        self._consumer.consume()

    def drain_events(self, timeout: float | None = None) -> Any:
        """Fetch once, for at most `timeout` seconds.

        Raises:
            socket.timeout: nothing came.
        """
        if self._connection is None:
            if timeout:
                sleep(timeout)
            return None
        try:
            return self._connection.drain_events(timeout=timeout)
        except TimeoutError:  # an OSError, as lost connections are, and none
            raise
        except self._connection_errors:
            with self.reconnect_on_error():
                raise

    def _reconnect(self) -> None:
        """Connect anew, and consume from what was consumed from."""
        connection, consumer = self._connection, self._consumer
        queues = list(consumer.queues) if consumer is not None else []
        self._connection = self._consumer = None
        for close in (getattr(consumer, "cancel", None), getattr(connection, "close", None)):
            if close is not None:
                with suppress(Exception):
                    close()
        self._connection = self.app.connection()
        self._consume(queues)

    def stop(self) -> None:
        """Let go of the connection."""
        try:
            if self._consumer is not None:
                self._consumer.cancel()
        finally:
            if self._connection is not None:
                self._connection.close()

    def on_after_fork(self) -> None:
        """The parent's connection isn't ours."""
        self._consumer = None
        if self._connection is not None:
            self._connection.collect()
            self._connection = None

    def consume_from(self, task_id: str) -> None:
        """Consume from the reply queue: there is one for all tasks of this thread."""
        if self._consumer is None:
            self.start(task_id)
            return
        queue = self._create_binding(task_id)
        if not self._consumer.consuming_from(queue):
            self._consumer.add_queue(queue)
            self._consumer.consume()

    def cancel_for(self, task_id: str) -> None:
        """Nothing to do: the reply queue serves other tasks too."""

    def on_state_change(self, meta: dict[str, Any], message: Any) -> None:
        """A task is in the state `meta`; what was known of it before is out of date."""
        if meta["status"] in states.READY_STATES:
            self.backend._out_of_band.pop(meta["task_id"], None)
        super().on_state_change(meta, message)
