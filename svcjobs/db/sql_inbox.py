"""The inbox in a table of the application's database."""

from __future__ import annotations

import time

from svcjobs.clock import Clock
from svcjobs.db.inbox_rows import InboxRows
from svcjobs.db.mark import TTL_SECONDS
from svcjobs.db.transactions import SessionSource, Transactions


class InboxStore:
    """Implements :class:`~svcjobs.db.inbox.Inbox` over SQLAlchemy 2, on PostgreSQL, MariaDB and SQLite.

    Given a session, :meth:`mark_if_new` is part of its transaction: a rollback takes the mark back together
    with the work. All else runs in short transactions of its own on the same engine, from any thread, so
    that the pair of :meth:`is_marked` and :meth:`mark` around some work needs no commit.
    ``svcjobs.db.tables.create_tables`` makes the table.

    Args:
        session_or_factory: a ``Session``, a ``scoped_session`` or a ``sessionmaker``.
        clock: decides when a mark ends.

    Raises:
        ConfigurationError: it is none of these, or the database is another one.
    """

    def __init__(self, session_or_factory: SessionSource, *, clock: Clock = time.time) -> None:
        self._transactions = Transactions(session_or_factory)
        self._rows = InboxRows(clock)

    def mark_if_new(self, key: str, ttl_seconds: float = TTL_SECONDS) -> bool:
        with self._transactions.callers() as session:
            return self._rows.mark_if_new(session, key, ttl_seconds)

    def is_marked(self, key: str) -> bool:
        with self._transactions.own() as session:
            return self._rows.is_marked(session, key)

    def mark(self, key: str, ttl_seconds: float = TTL_SECONDS) -> None:
        with self._transactions.own() as session:
            self._rows.mark(session, key, ttl_seconds)

    def purge_expired(self) -> int:
        removed = 0
        while True:
            with self._transactions.own() as session:
                part = self._rows.purge(session)
            if not part:
                return removed
            removed += part
