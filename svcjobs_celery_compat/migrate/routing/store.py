"""The routing table in Redis, beside the queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.failures import translate
from svcjobs.errors import ConfigurationError, JobsError
from svcjobs_celery_compat.migrate.routing.table import RouteTable

MOST_KEPT = 100
"""Former tables that are kept to go back to."""

# KEYS the table, and those before; ARGV the table as it was read, the new one, how many are kept. Returns 1, or 0 when
# another was faster.
_CHANGE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
return 1
"""
# KEYS as above; ARGV the last of those before as it was read, the table. Returns as above.
_BACK = """
if redis.call('LINDEX', KEYS[2], -1) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('RPOP', KEYS[2])
return 1
"""


def key_of(root: str) -> str:
    """The key of the table, where ``root`` is what all keys of the broker begin with."""
    return f"{root}:kombu:routes"


class RouteStore:
    """The table at ``{root}:kombu:routes``, and those that it had before at ``{root}:kombu:routes:before``.

    Each method raises :class:`~svcjobs.errors.QueueUnavailable` when the server doesn't answer.

    Args:
        client: of the broker's server.
        root: what all keys of the broker begin with.
    """

    def __init__(self, client: Any, root: str) -> None:
        self._client = client
        self._key = key_of(root)
        self._before = f"{self._key}:before"
        self._change, self._back = client.register_script(_CHANGE), client.register_script(_BACK)

    def read(self) -> RouteTable:
        """The table as it is.

        Raises:
            ConfigurationError: it can't be read.
        """
        with _translated():
            return RouteTable.decode(self._client.get(self._key))

    def change(self, change: Callable[[RouteTable], RouteTable]) -> RouteTable:
        """Change the table, however many do so at once; returns the new one.

        Raises:
            ConfigurationError: as ``change`` and :meth:`read`.
        """

        while True:
            with _translated():
                text = self._client.get(self._key) or b""
            changed = change(RouteTable.decode(text))
            if self._run(self._change, text, changed.encode(), MOST_KEPT):
                return changed

    def back(self) -> RouteTable:
        """Undo the last change that wasn't undone yet; returns the table of before.

        Raises:
            ConfigurationError: nothing was changed.
        """

        while True:
            with _translated():
                last = self._client.lindex(self._before, -1)
            if last is None:
                raise ConfigurationError("there is no former routing table to go back to")
            former = RouteTable.decode(last)
            if self._run(self._back, last, former.encode()):
                return former

    def _run(self, script: Any, *args: Any) -> bool:
        with _translated():
            return bool(script(keys=[self._key, self._before], args=args))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except JobsError:
        raise
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise translate(error) from error
