"""In whose transaction a SQL store of asyncio works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

from svcjobs.db.transactions import begin, check
from svcjobs.errors import ConfigurationError

AsyncSessionSource: TypeAlias = AsyncSession | async_scoped_session[Any] | Callable[[], AsyncSession]


class AsyncTransactions:
    """:class:`~svcjobs.db.transactions.Transactions` for ``AsyncSession``.

    Args:
        source: an ``AsyncSession``, an ``async_scoped_session``, or a factory such as an ``async_sessionmaker``.

    Raises:
        ConfigurationError: ``source`` is none of these.
    """

    def __init__(self, source: AsyncSessionSource) -> None:
        self._joined: AsyncSession | async_scoped_session[Any] | None = None
        if isinstance(source, AsyncSession):
            self._joined = source
            self._factory: Callable[[], Any] = lambda: AsyncSession(source.bind)
        elif isinstance(source, async_scoped_session):
            self._joined = source
            self._factory = source.session_factory
        elif callable(source):
            self._factory = source
        else:
            raise ConfigurationError(f"{source!r} was given: give an AsyncSession or an async_sessionmaker")

    @asynccontextmanager
    async def callers(self) -> AsyncIterator[AsyncSession]:
        """The caller's session, left for the caller to commit; without one, :meth:`own`."""
        if self._joined is None:
            async with self.own() as session:
                yield session
            return
        session = self._joined() if isinstance(self._joined, async_scoped_session) else self._joined
        check(session.sync_session)
        yield session

    @asynccontextmanager
    async def own(self) -> AsyncIterator[AsyncSession]:
        """A new session, committed at the end of the block, or rolled back when it raises."""
        session = self._factory()
        if not isinstance(session, AsyncSession):
            kind = type(session).__name__
            raise ConfigurationError(f"the factory makes a {kind}: give one that makes an AsyncSession")
        async with session, session.begin():
            await session.run_sync(begin)
            yield session
