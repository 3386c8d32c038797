"""The outbox in a table of the application's database, for asyncio."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from svcjobs.clock import Clock
from svcjobs.db.async_transactions import AsyncSessionSource, AsyncTransactions
from svcjobs.db.message import OutboxMessage, TopicBacklog
from svcjobs.db.outbox_rows import OutboxRows


class AsyncOutboxStore:
    """:class:`~svcjobs.db.outbox.OutboxStore` for ``AsyncSession``: the same methods, as coroutines.

    Args:
        session_or_factory: an ``AsyncSession``, an ``async_scoped_session`` or an ``async_sessionmaker``.
        clock: read for claims and times.

    Raises:
        ConfigurationError: it is none of these, or the database is another one.
    """

    def __init__(self, session_or_factory: AsyncSessionSource, *, clock: Clock = time.time) -> None:
        self._transactions = AsyncTransactions(session_or_factory)
        self._rows = OutboxRows(clock)

    async def enqueue(self, topic: str, payload: dict[str, Any]) -> OutboxMessage:
        async with self._transactions.callers() as session:
            return await session.run_sync(self._rows.insert, topic, payload)

    async def fetch_next(self, topics: Collection[str] | None = None) -> OutboxMessage | None:
        return next(iter(await self.fetch_many(1, topics)), None)

    async def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]:
        async with self._transactions.own() as session:
            return await session.run_sync(self._rows.claim, limit, topics)

    async def mark_processed(self, *message_ids: int) -> None:
        async with self._transactions.own() as session:
            await session.run_sync(self._rows.change, self._rows.processed(), message_ids)

    async def mark_failed(self, message_id: int) -> None:
        async with self._transactions.own() as session:
            await session.run_sync(self._rows.postpone, message_id)

    async def release(self, *message_ids: int) -> None:
        async with self._transactions.own() as session:
            await session.run_sync(self._rows.change, self._rows.released(), message_ids)

    async def get(self, message_id: int) -> OutboxMessage | None:
        async with self._transactions.own() as session:
            return await session.run_sync(self._rows.get, message_id)

    async def backlog(self, topics: Collection[str] | None = None) -> list[TopicBacklog]:
        async with self._transactions.own() as session:
            return await session.run_sync(self._rows.backlog, topics)

    async def purge_processed(self, keep_seconds: float, limit: int = 1000) -> int:
        async with self._transactions.own() as session:
            return await session.run_sync(self._rows.purge, keep_seconds, limit)
