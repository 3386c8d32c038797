"""What the contenders with asyncio interfaces have in common: how jobs are stored in one loop that stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.contenders import Payload

AT_ONCE = 100


class ConcurrentCalls:
    """Stores jobs by a coroutine function; many, where there is no call for it, by so many coroutines at once.

    Args:
        put: stores one job.
        connect: awaited before the first job.
    """

    def __init__(self, put: Callable[[Payload], Awaitable[Any]], connect: Callable[[], Awaitable[Any]]) -> None:
        self._put = put
        self._connect: Callable[[], Awaitable[Any]] | None = connect
        self._loop: asyncio.AbstractEventLoop | None = None

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        self.run(self._one_by_one(payloads))

    def enqueue_many(self, payloads: Sequence[Payload]) -> None:
        self.run(self._at_once(payloads))

    def run(self, step: Any) -> None:
        """Run a coroutine in the loop, connected."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connected(step))

    async def _connected(self, step: Awaitable[None]) -> None:
        if self._connect:
            connect, self._connect = self._connect, None
            await connect()
        await step

    async def _one_by_one(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            await self._put(payload)

    async def _at_once(self, payloads: Sequence[Payload]) -> None:
        for start in range(0, len(payloads), AT_ONCE):
            await asyncio.gather(*map(self._put, payloads[start : start + AT_ONCE]))
