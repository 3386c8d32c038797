"""The inbox: keys of what was done already, so that a repeat of it can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from svcjobs.db.mark import TTL_SECONDS
from svcjobs.db.memory_inbox import InMemoryInboxStore
from svcjobs.db.redis_inbox import RedisInboxStore
from svcjobs.extras import extra

if TYPE_CHECKING:
    from svcjobs.db.async_sql_inbox import AsyncInboxStore
    from svcjobs.db.sql_inbox import InboxStore

__all__ = ["AsyncInbox", "AsyncInboxStore", "InMemoryInboxStore", "Inbox", "InboxStore", "RedisInboxStore"]


@runtime_checkable
class Inbox(Protocol):
    """Marks with a time to live; one whose time is up counts as never made."""

    def mark_if_new(self, key: str, ttl_seconds: float = TTL_SECONDS) -> bool:
        """Mark ``key`` unless it is marked; of any number of callers at once, one gets True.

        Part of the caller's transaction where there is one: mark first, work next, and both are committed or
        neither is.

        Raises:
            ConfigurationError: ``ttl_seconds`` isn't a positive number.
        """
        ...

    def is_marked(self, key: str) -> bool:
        """Whether ``key`` is marked."""
        ...

    def mark(self, key: str, ttl_seconds: float = TTL_SECONDS) -> None:
        """Mark ``key``, for ``ttl_seconds`` from now, whether it is marked or not. Committed at once.

        Raises:
            ConfigurationError: ``ttl_seconds`` isn't a positive number.
        """
        ...

    def purge_expired(self) -> int:
        """Remove the marks whose time is up; returns how many."""
        ...


class AsyncInbox(Protocol):
    """:class:`Inbox` as coroutines: what handlers need of it."""

    async def mark_if_new(self, key: str, ttl_seconds: float = TTL_SECONDS) -> bool: ...
    async def is_marked(self, key: str) -> bool: ...
    async def mark(self, key: str, ttl_seconds: float = TTL_SECONDS) -> None: ...


def __getattr__(name: str) -> Any:
    # in memory it works without SQLAlchemy, so that is imported only for who asks for a SQL store
    if name not in ("AsyncInboxStore", "InboxStore"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extra("sql", "sqlalchemy"):
        from svcjobs.db import async_sql_inbox, sql_inbox
    return async_sql_inbox.AsyncInboxStore if name == "AsyncInboxStore" else sql_inbox.InboxStore
