"""Remote control."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.worker.consumer.mingle import Mingle
from svcjobs_celery_compat.worker.pidbox import Pidbox

__all__ = ("Control",)


class Control(bootsteps.StartStopStep):
    """Obeys remote control."""

    requires = (Mingle,)

    def __init__(self, c: Any, **kwargs: Any) -> None:
        self.box = Pidbox(c)
        self.enabled = c.app.conf.worker_enable_remote_control
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        self.box.start(c)

    def stop(self, c: Any) -> None:
        self.box.stop(c)

    shutdown = stop
