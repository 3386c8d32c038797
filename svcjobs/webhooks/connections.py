"""Connections that are used again, for as long as their event loop turns."""

from __future__ import annotations

import asyncio
import contextvars
import ssl
import sys

from svcjobs.extras import extra
from svcjobs.webhooks.destinations import Destinations
from svcjobs.webhooks.dialing import CheckedDialing

with extra("webhooks", "httpx"):
    import httpx

import httpcore

IDLE_SECONDS = 4.0
"""Less than the five seconds after which common servers close an idle connection, maybe in the middle of a request."""
MOST_IDLE = 100


class Connections:
    """One pool for each event loop, closed when nothing has used it for a while, or with its loop.

    Nobody needs to close a handler, therefore: ``asyncio.run`` and the workers cancel the tasks of a loop at its end.

    Args:
        destinations: where connections may go.
        tls: how servers are verified; None trusts the public authorities.
    """

    def __init__(self, destinations: Destinations, tls: ssl.SSLContext | None) -> None:
        self._dialing = CheckedDialing(destinations)
        # reading the CA certificates takes tens of ms, so once and not per connection
        self._tls = tls or httpx.create_ssl_context()
        self._open: dict[asyncio.AbstractEventLoop, tuple[httpcore.AsyncConnectionPool, asyncio.Task[None]]] = {}

    def pool(self) -> httpcore.AsyncConnectionPool:
        """The pool of the running loop; to be used before the next await, as it may be closed after."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            for closed in [other for other in self._open if other.is_closed()]:
                self._open.pop(closed, None)
            pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=sys.maxsize,  # the worker's concurrency is the limit
                max_keepalive_connections=MOST_IDLE,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=self._dialing,
            )
            # in a context of its own: it outlives the job that happens to be the first
            tending = loop.create_task(self._tend(loop, pool), context=contextvars.Context())
            self._open[loop] = pool, tending
        return self._open[loop][0]

    async def _tend(self, loop: asyncio.AbstractEventLoop, pool: httpcore.AsyncConnectionPool) -> None:
        try:
            while True:
                await asyncio.sleep(IDLE_SECONDS)
                if all(connection.is_closed() or connection.has_expired() for connection in pool.connections):
                    return
        finally:
            self._open.pop(loop, None)
            await pool.aclose()
