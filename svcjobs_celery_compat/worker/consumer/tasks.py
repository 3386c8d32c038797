"""Where tasks come from."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.worker.consumer.consumer import TaskConsumer
from svcjobs_celery_compat.worker.consumer.mingle import Mingle
from svcjobs_celery_compat.worker.dead_letters import EVERY_SECONDS, DeadLetters

__all__ = ("Tasks",)


class Tasks(bootsteps.StartStopStep):
    """Where tasks come from. The engine fetches them."""

    requires = (Mingle,)

    def __init__(self, c: Any, **kwargs: Any) -> None:
        c.task_consumer = None
        self.dead_letters = DeadLetters(c.app)
        self._timer_entry: Any = None
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        c.task_consumer = TaskConsumer(c.connection.default_channel, c.app.amqp.queues)
        self._timer_entry = c.timer.call_repeatedly(EVERY_SECONDS, self.dead_letters.trim)

    def stop(self, c: Any) -> None:
        c.task_consumer = None
        if self._timer_entry is not None:
            self._timer_entry.cancel()
            self._timer_entry = None
            self.dead_letters.close()

    shutdown = stop
