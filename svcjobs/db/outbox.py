"""The outbox: messages written in the application's transaction, moved to a queue after its commit."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from svcjobs.db.memory_outbox import InMemoryOutboxStore
from svcjobs.db.message import OutboxMessage, TopicBacklog
from svcjobs.extras import extra

if TYPE_CHECKING:
    from svcjobs.db.async_sql_outbox import AsyncOutboxStore
    from svcjobs.db.sql_outbox import OutboxStore

__all__ = ["AsyncOutbox", "AsyncOutboxStore", "InMemoryOutboxStore", "Outbox", "OutboxMessage", "OutboxStore",
           "TopicBacklog"]  # fmt: skip


@runtime_checkable
class Outbox(Protocol):
    """Where messages wait. Every method but :meth:`enqueue` may be called from any thread."""

    def enqueue(self, topic: str, payload: dict[str, Any]) -> OutboxMessage:
        """Put a message in, as part of the caller's transaction where there is one.

        Raises:
            InvalidJob: the topic is empty, unprintable or too long, or JSON can't hold the payload.
        """
        ...

    def fetch_next(self, topics: Collection[str] | None = None) -> OutboxMessage | None:
        """The oldest pending message, or None; :meth:`fetch_many` with a limit of 1."""
        ...

    def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]:
        """Claim up to ``limit`` pending messages, oldest first: for 60 s no other call gets them.

        Nor gets another call later messages of their topics, until they are processed, released or failed: whoever
        has a topic's first message has the topic, so that its order holds with any number of relays.

        Args:
            limit: how many at most; fewer may come although more are pending, as large ones together take no more
                than 16 MiB of memory.
            topics: only messages with one of these topics; None takes all.
        """
        ...

    def mark_processed(self, *message_ids: int) -> None:
        """They have been moved on. Unknown ids, and those processed before, are left alone."""
        ...

    def mark_failed(self, message_id: int) -> None:
        """It couldn't be moved on: count that, and leave it for 2, 4, 8 … 3,600 s so that others go first."""
        ...

    def release(self, *message_ids: int) -> None:
        """Give up the claims: the messages are pending again at once, and nothing is counted."""
        ...

    def get(self, message_id: int) -> OutboxMessage | None:
        """The message, pending or processed, or None."""
        ...

    def backlog(self, topics: Collection[str] | None = None) -> list[TopicBacklog]:
        """What is pending, by topic; topics of which nothing is are left out. Costs more the more is pending."""
        ...

    def purge_processed(self, keep_seconds: float, limit: int = 1000) -> int:
        """Remove up to ``limit`` of those that were processed ``keep_seconds`` ago or before; returns how many."""
        ...


class AsyncOutbox(Protocol):
    """:class:`Outbox` as coroutines: what a relay needs of it."""

    async def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]: ...
    async def mark_processed(self, *message_ids: int) -> None: ...
    async def mark_failed(self, message_id: int) -> None: ...
    async def release(self, *message_ids: int) -> None: ...
    async def backlog(self, topics: Collection[str] | None = None) -> list[TopicBacklog]: ...
    async def purge_processed(self, keep_seconds: float, limit: int = 1000) -> int: ...


def __getattr__(name: str) -> Any:
    # in memory it works without SQLAlchemy, so that is imported only for who asks for a SQL store
    if name not in ("AsyncOutboxStore", "OutboxStore"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extra("sql", "sqlalchemy"):
        from svcjobs.db import async_sql_outbox, sql_outbox
    return async_sql_outbox.AsyncOutboxStore if name == "AsyncOutboxStore" else sql_outbox.OutboxStore
