"""Keeps the dead letter queues of a worker bounded (``svcjobs_dead_letter_limit``)."""

from __future__ import annotations

from typing import Any

from svcjobs.errors import JobsError
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker.broker import Broker

logger = get_logger("celery.worker")

EVERY_SECONDS = 60.0
AT_ONCE = 1000


class DeadLetters:
    """Removes the oldest dead jobs of the queues that a worker takes tasks from.

    Args:
        app: the app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._broker: Broker | None = None

    def trim(self) -> None:
        """Remove what is too much, some at a time."""
        limit = self._app.conf.svcjobs_dead_letter_limit
        try:
            broker = self._broker = self._broker or Broker(self._app)
            for name in list(self._app.amqp.queues.consume_from):
                queue = broker.named(name)
                for job in queue.dead(AT_ONCE, offset=limit):
                    queue.purge_dead(job.id)
        except (JobsError, OSError) as error:
            logger.warning("Dead letters weren't looked at: %s", error)

    def close(self) -> None:
        """Close the connection."""
        if self._broker is not None:
            self._broker.close()
