"""What other workers know."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.consumer.connection import Connection

__all__ = ("Mingle",)


class Mingle(bootsteps.StartStopStep):
    """Asks other workers for what they know was revoked. Redis keeps that; those who run Celery keep it in memory."""

    label = "Mingle"
    requires = (Connection,)

    def __init__(self, c: Any, without_mingle: bool = False, **kwargs: Any) -> None:
        self.enabled = not without_mingle
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        inspect = c.app.control.inspect(timeout=1.0, connection=c.connection)
        replies = inspect.hello(c.hostname, state.revoked._data) or {}
        replies.pop(c.hostname, None)
        for reply in replies.values():
            c.app.clock.adjust(reply.get("clock") or 0)
            state.merge_revoked(reply.get("revoked"))
