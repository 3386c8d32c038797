"""The inbox in a table of the application's database, for asyncio."""

from __future__ import annotations

import time

from svcjobs.clock import Clock
from svcjobs.db.async_transactions import AsyncSessionSource, AsyncTransactions
from svcjobs.db.inbox_rows import InboxRows
from svcjobs.db.mark import TTL_SECONDS


class AsyncInboxStore:
    """:class:`~svcjobs.db.inbox.InboxStore` for ``AsyncSession``: the same methods, as coroutines.

    Args:
        session_or_factory: an ``AsyncSession``, an ``async_scoped_session`` or an ``async_sessionmaker``.
        clock: decides when a mark ends.

    Raises:
        ConfigurationError: it is none of these, or the database is another one.
    """

    def __init__(self, session_or_factory: AsyncSessionSource, *, clock: Clock = time.time) -> None:
        self._transactions = AsyncTransactions(session_or_factory)
        self._rows = InboxRows(clock)

    async def mark_if_new(self, key: str, ttl_seconds: float = TTL_SECONDS) -> bool:
        async with self._transactions.callers() as session:
            return await session.run_sync(self._rows.mark_if_new, key, ttl_seconds)

    async def is_marked(self, key: str) -> bool:
        async with self._transactions.own() as session:
            return await session.run_sync(self._rows.is_marked, key)

    async def mark(self, key: str, ttl_seconds: float = TTL_SECONDS) -> None:
        async with self._transactions.own() as session:
            await session.run_sync(self._rows.mark, key, ttl_seconds)

    async def purge_expired(self) -> int:
        removed = 0
        while True:
            async with self._transactions.own() as session:
                part = await session.run_sync(self._rows.purge)
            if not part:
                return removed
            removed += part
