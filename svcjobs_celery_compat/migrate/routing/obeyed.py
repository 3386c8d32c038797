"""The routing table as a producer sees it."""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.migrate.routing.store import key_of
from svcjobs_celery_compat.migrate.routing.table import RouteTable
from svcjobs_celery_compat.transport.wire import Message, task_field

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 2.0
"""A change is obeyed after this time at the latest."""


class ObeyedRoutes:
    """A copy of the table that is at most two seconds old when it is used.

    It is read when a message is sent, so that an idle producer costs nothing and obeys at once. Where it can't be
    read, the last one that was known holds: a task then goes where it went before, and to no place where none is.

    Args:
        client: of the broker's server.
        root: what all keys of the broker begin with.
    """

    def __init__(self, client: Any, root: str) -> None:
        self._client = client
        self._key = key_of(root)
        self._text: Any = None
        self._table = RouteTable()
        self._read_at = float("-inf")

    def queue_for(self, queue: str, message: Message) -> str:
        """The queue that a message goes to which was sent to ``queue``."""
        if time.monotonic() >= self._read_at + REFRESH_SECONDS:
            self._refresh()
        if not self._table:
            return queue
        name, task_id = task_field(message, "task"), task_field(message, "id")
        if not isinstance(name, str) or not isinstance(task_id, str):
            return queue
        return self._table.queue_for(queue, name, task_id)

    def _refresh(self) -> None:
        self._read_at = time.monotonic()
        try:
            text = self._client.get(self._key)
            if text != self._text:
                self._table = RouteTable.decode(text)
                self._text = text
        except (redis.RedisError, RedisClusterException, OSError, ConfigurationError) as error:
            logger.warning("the last known routing table holds: %s", error)
