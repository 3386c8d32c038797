"""Connections to checked addresses.

The check lies below HTTP, where the connection is made: the name is looked up once, and the very address that passed is
connected to. A name server that answers otherwise a moment later changes nothing, redirects and new connections are
checked like the first, and TLS and the Host header still go by the name in the URL.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from functools import partial

from svcjobs.extras import extra
from svcjobs.threads import Threads
from svcjobs.webhooks.destinations import Destinations

with extra("webhooks", "httpx"):
    import httpx  # noqa: F401 - the name that the extra has; the rest comes with it

import httpcore

MOST_ADDRESSES = 4
"""Of a host that are tried, one after the other."""


class CheckedDialing(httpcore.AsyncNetworkBackend):
    """Opens TCP connections where webhooks may go.

    Args:
        destinations: where that is.
    """

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._dial = httpcore.AnyIOBackend()
        # not the loop's own threads: asyncio waits for those at its end, and a look-up may take long
        self._threads = Threads("svcjobs-resolve")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        began = time.monotonic()
        addresses = self._destinations.choose(host, await self._look_up(host, port, timeout))[:MOST_ADDRESSES]
        share = None if timeout is None else max(timeout - (time.monotonic() - began), 0.001) / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._dial.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._dial.connect_tcp(addresses[-1], port, share, local_address, socket_options)

    async def _look_up(self, host: str, port: int, seconds: float | None) -> list[str]:
        looking = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(seconds):
                found = await self._threads.call(looking)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the host's name wasn't resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host's name can't be resolved: {error}") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))
