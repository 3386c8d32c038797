"""Which other workers there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import Consumer
from kombu.common import ignore_errors

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.utils.collections import AttributeDict
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker.consumer.mingle import Mingle

__all__ = ("Gossip",)

logger = get_logger("celery.worker.consumer.gossip")


class Gossip(bootsteps.StartStopStep):
    """Tells steps of a project which workers come and go, where one of them requires it.

    ``gossip.on.node_join``, ``node_leave`` and ``node_lost`` are sets of callables, which get the
    :class:`~svcjobs_celery_compat.events.state.Worker`. Celery's workers also elect leaders by it; ours need none.
    """

    label = "Gossip"
    requires = (Mingle,)
    interval = 5.0
    """Seconds between looks for workers that are lost."""
    _channel: Any = None
    _timer_entry: Any = None

    def __init__(self, c: Any, without_gossip: bool = False, **kwargs: Any) -> None:
        self.enabled = not without_gossip
        self.hostname = c.hostname
        self.on = AttributeDict(node_join=set(), node_leave=set(), node_lost=set())
        self.state = c.app.events.State(
            on_node_join=self.on_node_join, on_node_leave=self.on_node_leave, max_tasks_in_memory=1
        )
        c.gossip = self
        super().__init__(c, **kwargs)

    def include_if(self, parent: Any) -> bool:
        # each worker would hear of each other one for nothing
        asked = any(type(self) in step.requires for step in parent.blueprint.order)
        return bool(self.enabled and asked)

    def start(self, c: Any) -> None:
        """Listen to what workers send of themselves."""
        self._channel = c.connection.channel()
        receiver = c.app.events.Receiver(self._channel, handlers={"*": self._hear}, routing_key="worker.#")
        for consumer in receiver.get_consumers(lambda **options: Consumer(self._channel, **options), self._channel):
            consumer.consume()
        self._timer_entry = c.timer.call_repeatedly(self.interval, self.periodic)

    def stop(self, c: Any) -> None:
        """Listen no more."""
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        if self._channel is not None:
            ignore_errors(c, self._channel.close)
        self._timer_entry = self._channel = None

    shutdown = stop

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("hostname") != self.hostname:
            self.state.event(event)

    def periodic(self) -> None:
        """Tell of workers that have sent no heartbeat for too long."""
        for worker in [worker for worker in self.state.workers.values() if not worker.alive]:
            self.state.workers.pop(worker.hostname, None)
            self.on_node_lost(worker)

    def on_node_join(self, worker: Any) -> None:
        """A worker is there."""
        logger.debug("%s joined the party", worker.hostname)
        self._tell(self.on.node_join, worker)

    def on_node_leave(self, worker: Any) -> None:
        """A worker says that it ends."""
        logger.debug("%s left", worker.hostname)
        self._tell(self.on.node_leave, worker)

    def on_node_lost(self, worker: Any) -> None:
        """A worker sends no heartbeats any more."""
        logger.info("missed heartbeat from %s", worker.hostname)
        self._tell(self.on.node_lost, worker)

    @staticmethod
    def _tell(handlers: set[Callable[[Any], object]], worker: Any) -> None:
        for handler in list(handlers):
            try:
                handler(worker)
            except Exception as exc:
                logger.exception("Ignored error from handler %r: %r", handler, exc)
