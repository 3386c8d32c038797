"""The outbox in a table of the application's database."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from svcjobs.clock import Clock
from svcjobs.db.message import OutboxMessage, TopicBacklog
from svcjobs.db.outbox_rows import OutboxRows
from svcjobs.db.transactions import SessionSource, Transactions


class OutboxStore:
    """Implements :class:`~svcjobs.db.outbox.Outbox` over SQLAlchemy 2, on PostgreSQL, MariaDB and SQLite.

    Given a session, :meth:`enqueue` is part of its transaction: a rollback leaves nothing behind. All else,
    which is the relay's part, runs in short transactions of its own on the same engine, from any thread.
    ``svcjobs.db.tables.create_tables`` makes the table.

    Args:
        session_or_factory: a ``Session``, a ``scoped_session`` or a ``sessionmaker``.
        clock: read for claims and times.

    Raises:
        ConfigurationError: it is none of these, or the database is another one.
    """

    def __init__(self, session_or_factory: SessionSource, *, clock: Clock = time.time) -> None:
        self._transactions = Transactions(session_or_factory)
        self._rows = OutboxRows(clock)

    def enqueue(self, topic: str, payload: dict[str, Any]) -> OutboxMessage:
        with self._transactions.callers() as session:
            return self._rows.insert(session, topic, payload)

    def fetch_next(self, topics: Collection[str] | None = None) -> OutboxMessage | None:
        return next(iter(self.fetch_many(1, topics)), None)

    def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]:
        with self._transactions.own() as session:
            return self._rows.claim(session, limit, topics)

    def mark_processed(self, *message_ids: int) -> None:
        with self._transactions.own() as session:
            self._rows.change(session, self._rows.processed(), message_ids)

    def mark_failed(self, message_id: int) -> None:
        with self._transactions.own() as session:
            self._rows.postpone(session, message_id)

    def release(self, *message_ids: int) -> None:
        with self._transactions.own() as session:
            self._rows.change(session, self._rows.released(), message_ids)

    def get(self, message_id: int) -> OutboxMessage | None:
        with self._transactions.own() as session:
            return self._rows.get(session, message_id)

    def backlog(self, topics: Collection[str] | None = None) -> list[TopicBacklog]:
        with self._transactions.own() as session:
            return self._rows.backlog(session, topics)

    def purge_processed(self, keep_seconds: float, limit: int = 1000) -> int:
        with self._transactions.own() as session:
            return self._rows.purge(session, keep_seconds, limit)
