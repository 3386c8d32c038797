"""Events about the worker."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.worker.consumer.connection import Connection

__all__ = ("Events",)


class Events(bootsteps.StartStopStep):
    """Sends events about the worker."""

    requires = (Connection,)

    def __init__(self, c: Any, task_events: bool = True, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        # about tasks the processes that run them send events themselves
        c.event_dispatcher = c.app.events.Dispatcher(
            c.app.connection_for_write(), hostname=c.hostname, groups=["worker"]
        )

    def stop(self, c: Any) -> None:
        dispatcher, c.event_dispatcher = c.event_dispatcher, None
        if dispatcher is not None:
            dispatcher.close()
            dispatcher.connection.release()

    shutdown = stop
