"""All queues of a server, found as they come."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from math import inf
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from svcjobs._redis.connections import derive
from svcjobs.errors import ConfigurationError
from svcjobs.queue import JobQueue
from svcjobs.redis_queue import RedisJobQueue

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""A look is a SCAN of all keys, in small steps."""
FIRST_SECONDS = 2.0
"""So long is the first look waited for; a page waits for no later one."""
_AT_ONCE = 2000


class FoundQueues:
    """The default queue, and the named ones that ever had a job. Iterating looks for new ones once a minute.

    Args:
        client: any Redis client of the server; connections of its own are derived from it.
        home: the default queue.
    """

    def __init__(self, client: Any, home: RedisJobQueue) -> None:
        self._client = derive(client, FIRST_SECONDS)
        self._home = home
        self._queues: dict[str, JobQueue] = {home.name: home}
        self._look_at = 0.0
        self._look_thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[JobQueue]:
        with self._lock:
            is_first = self._look_thread is None
            idle = self._look_thread is None or not self._look_thread.is_alive()
            if idle and time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + EVERY_SECONDS
                self._look_thread = threading.Thread(target=self._look, name="svcjobs-queues", daemon=True)
                self._look_thread.start()
            look_thread = self._look_thread
        if is_first and look_thread is not None:
            look_thread.join(FIRST_SECONDS)
        return iter([self._queues[name] for name in sorted(self._queues.copy())])

    def close(self) -> None:
        """Close the connections; the queues that were found share those of the default queue."""
        with self._lock:
            self._look_at = inf
        if self._look_thread is not None:
            self._look_thread.join(2 * FIRST_SECONDS)  # a connection is closed under nobody's hands
        self._client.close()

    def _look(self) -> None:
        root = self._home.name.strip("{}")
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", root) + ":{*}:counters"
        try:
            for key in self._client.scan_iter(match=pattern, count=_AT_ONCE):
                self._take(key.decode(errors="replace").removesuffix(":counters"))
        except (RedisError, RedisClusterException, OSError) as error:
            logger.warning("queues can't be looked for: %s", error)
            self._look_at = time.monotonic() + FIRST_SECONDS

    def _take(self, name: str) -> None:
        if name in self._queues:
            return
        try:
            self._queues[name] = self._home.sibling(name)
        except ConfigurationError:
            logger.debug("%s isn't the name of a queue", name)  # somebody else's key
