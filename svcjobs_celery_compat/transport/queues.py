"""The queues of a connection by their kombu names."""

from __future__ import annotations

import re
from collections import OrderedDict
from urllib.parse import quote

import redis

from svcjobs._redis.names import queue_prefix
from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.options import TransportOptions

MOST_PAYLOAD_BYTES = 256 * 1024 * 1024
"""Half of what Redis can hold in one value; brokers have no smaller limit of their own."""
MOST_KEPT = 1000
"""Queue objects that are kept; those of reply queues would be without end."""
_UNUSABLE = re.compile(r"[%{}\s\x00-\x1f]")


def prefix_of(name: str, root: str) -> str:
    """The prefix of a kombu queue: ``jobs:{celery}``; characters that no prefix can have are written as ``%xx``."""
    return queue_prefix(_UNUSABLE.sub(lambda found: quote(found[0], safe=""), name), root)


class Queues:
    """Queues that share their connections.

    Args:
        client: tells the server; see :class:`~svcjobs.redis_queue.RedisJobQueue`.
        options: of the transport.
    """

    def __init__(self, client: redis.Redis, options: TransportOptions) -> None:
        self._root = options.root
        self._first = RedisJobQueue(
            client,
            prefix=options.root,
            visibility_timeout=options.visibility_timeout,
            timeout_seconds=options.timeout_seconds,
            max_attempts=options.max_attempts,
            max_payload_bytes=MOST_PAYLOAD_BYTES,
        )
        self._queues: OrderedDict[str, RedisJobQueue] = OrderedDict()

    def named(self, name: str) -> RedisJobQueue:
        """The queue with a kombu name.

        Raises:
            ConfigurationError: the name is empty.
        """
        queue = self._queues.get(name)
        return queue or self._add(name, prefix_of(name, self._root))

    def at(self, prefix: str) -> RedisJobQueue:
        """The queue with a prefix."""
        queue = self._queues.get(f"\0{prefix}")
        return queue or self._add(f"\0{prefix}", prefix)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._first.close()

    def _add(self, key: str, prefix: str) -> RedisJobQueue:
        queue = self._queues[key] = self._first.sibling(prefix)
        if len(self._queues) > MOST_KEPT:
            self._queues.popitem(last=False)
        return queue
