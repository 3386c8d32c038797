"""One blocking command in flight on a connection of its own, whose socket an event loop can watch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import MovedError, ResponseError

from svcjobs._redis.connections import derive
from svcjobs_celery_compat.transport.cluster import holder_of, look_again

OVERDUE_SECONDS = 5.0
"""A reply that comes so much later than the server was asked for isn't coming: the link is dead."""
REFUSED_SECONDS = 0.25
"""The pause after a refusal, such as that of a cluster that is down; the next one may come at once."""


class Listener:
    """Sends a command that blocks on the server, and reads its reply when the socket is readable.

    Args:
        client: tells the server.
        on_open: called with the file descriptor of each new connection.
        on_close: called with it before the connection is closed.
    """

    def __init__(self, client: Any, on_open: Callable[[int], object], on_close: Callable[[int], object]) -> None:
        self._client = client
        self._on_open = on_open
        self._on_close = on_close
        self._connection: Any = None
        self._fd = -1
        self._late_at: float | None = None
        self._refused_until = 0.0

    @property
    def idle(self) -> bool:
        """Whether a command may be sent: no reply is to come, nor was one refused a moment ago."""
        return self._late_at is None and time.monotonic() >= self._refused_until

    @property
    def waiting(self) -> bool:
        """Whether a reply is to come."""
        return self._late_at is not None

    @property
    def overdue(self) -> bool:
        """Whether it should have come long ago."""
        return self._late_at is not None and time.monotonic() > self._late_at

    def send(self, block_seconds: float, key: str, *command: Any) -> None:
        """Send a command that the server answers within ``block_seconds``.

        Args:
            block_seconds: how long it blocks.
            key: one that it is about; on a cluster all are in one slot, the same one each time.
            command: its words.

        Raises:
            redis.ConnectionError: the server can't be reached.
        """
        try:
            if self._connection is None:
                self._open(key)
            self._connection.send_command(*command)
        except BaseException:
            self.close()
            raise
        self._late_at = time.monotonic() + block_seconds + OVERDUE_SECONDS

    def read(self) -> Any:
        """The reply; None when the server's time was over.

        Raises:
            redis.RedisError: the connection is gone, or the server refused the command.
        """
        self._late_at = None
        try:
            return self._connection.read_response()
        except ResponseError as error:
            self.close()
            # older versions of redis-py have that class for connections of its client of a cluster only
            if isinstance(error, MovedError) or str(error).startswith("MOVED "):
                look_again(self._client)
            else:
                self._refused_until = time.monotonic() + REFUSED_SECONDS
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the reply to come, if any, is given up."""
        connection, self._connection, self._late_at = self._connection, None, None
        if connection is None:
            return
        if self._fd >= 0:
            self._on_close(self._fd)
            os.close(self._fd)
            self._fd = -1
        connection.disconnect()

    def _open(self, key: str) -> None:
        pool = derive(holder_of(self._client, key), OVERDUE_SECONDS).connection_pool
        options = pool.connection_kwargs
        options["protocol"] = 2  # with the newer one a server may send what wasn't asked for
        if options.get("password") and not options.get("username"):
            # as redis-py does for the newer one: a server without a password minds a lone one
            options["username"] = "default"
        self._connection = pool.make_connection()
        self._connection.connect()
        # One of our own, as redis-py closes its own when a call fails: a descriptor that is closed can't be taken out
        # of an event loop any more, and while a forked child has it too, the loop would hear of it for ever.
        self._fd = os.dup(self._connection._sock.fileno())  # redis-py has no other way to it
        self._on_open(self._fd)
