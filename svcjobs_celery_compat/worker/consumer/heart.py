"""Heartbeats."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.worker.consumer.events import Events
from svcjobs_celery_compat.worker.heartbeat import Heart as Heartbeat

__all__ = ("Heart",)


class Heart(bootsteps.StartStopStep):
    """Sends heartbeats."""

    requires = (Events,)

    def __init__(
        self, c: Any, without_heartbeat: bool = False, heartbeat_interval: float | None = None, **kwargs: Any
    ) -> None:
        self.enabled = not without_heartbeat
        self.interval = heartbeat_interval
        c.heart = None
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        c.heart = Heartbeat(c.timer, c.event_dispatcher, self.interval, controller=c.controller)
        c.heart.start()

    def stop(self, c: Any) -> None:
        heart, c.heart = c.heart, None
        if heart is not None:
            heart.stop()

    shutdown = stop
