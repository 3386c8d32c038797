"""Engines and sessions of SQLAlchemy, one per database and process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from kombu.utils.compat import register_after_fork
from sqlalchemy import MetaData, create_engine, inspect, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

from svcjobs_celery_compat.backends.database.models import ResultModelBase
from svcjobs_celery_compat.utils.time import get_exponential_backoff_interval

__all__ = ("PREPARE_MODELS_MAX_RETRIES", "ResultModelBase", "SessionManager")

logger = logging.getLogger("celery.backends.database.session")

PREPARE_MODELS_MAX_RETRIES = 10  # workers that start together create the tables at once
NULL_POOL_REFUSES = ("max_overflow",)


class SessionManager:
    """Makes sessions.

    A process that was forked by a worker keeps connections in a pool; any other opens one for each session.

    Args:
        engine_callback: called with each engine that is made.
        metadata: has the tables.
    """

    def __init__(
        self, engine_callback: Callable[[Any], Any] | None = None, metadata: MetaData = ResultModelBase.metadata
    ) -> None:
        self._engines: dict[str, Any] = {}
        self._sessions: dict[str, Any] = {}
        self.engine_callback = engine_callback
        self.metadata = metadata
        self.forked = False
        self.prepared = False
        if register_after_fork is not None:
            register_after_fork(self, _after_fork_cleanup_session)

    def _after_fork(self) -> None:
        self.forked = True
        self._engines.clear()  # without closing: the connections are the parent's
        self._sessions.clear()

    def get_engine(self, dburi: str, **kwargs: Any) -> Any:
        """The engine of a database; `kwargs` are ``create_engine``'s."""
        if dburi not in self._engines:
            if not self.forked:
                kwargs = {
                    name: value
                    for name, value in kwargs.items()
                    if "pool" not in name and name not in NULL_POOL_REFUSES
                }
                kwargs["poolclass"] = NullPool
            engine = self._engines[dburi] = create_engine(dburi, **kwargs)
            if self.engine_callback is not None:
                self.engine_callback(engine)
        return self._engines[dburi]

    def create_session(self, dburi: str, short_lived_sessions: bool = False, **kwargs: Any) -> tuple[Any, Any]:
        """The engine of a database, and what makes its sessions: a new one each time, for short-lived ones."""
        engine = self.get_engine(dburi, **kwargs)
        if not self.forked:
            return engine, sessionmaker(bind=engine)
        if short_lived_sessions or dburi not in self._sessions:
            self._sessions[dburi] = sessionmaker(bind=engine)
        return engine, self._sessions[dburi]

    def invalidate(self, dburi: str) -> None:
        """Connect anew next time."""
        engine = self._engines.pop(dburi, None)
        self._sessions.pop(dburi, None)
        if engine is not None:
            engine.dispose()

    def prepare_models(self, engine: Any) -> None:
        """Create the tables that aren't there, and columns that are new in them."""
        if self.prepared:
            return
        for retries in range(PREPARE_MODELS_MAX_RETRIES + 1):
            try:
                self.metadata.create_all(engine)
                break
            except DatabaseError:
                if retries == PREPARE_MODELS_MAX_RETRIES:
                    raise
                time.sleep(get_exponential_backoff_interval(10, retries, 1000, True) / 1000)
        self._migrate_missing_columns(engine)
        self.prepared = True

    def _migrate_missing_columns(self, engine: Any) -> None:
        """Older versions had fewer columns. Without the right to add them, results have less in them."""
        try:
            inspector = inspect(engine)
            for table in self.metadata.sorted_tables:
                if not inspector.has_table(table.name, schema=table.schema):
                    continue
                there = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
                for column in table.columns:
                    if column.name not in there:
                        self._add_column(engine, table, column)
        except Exception as error:  # noqa: BLE001  # each database has its own
            logger.warning("Failed to look for missing columns: %r", error)

    def _add_column(self, engine: Any, table: Any, column: Any) -> None:
        quote = engine.dialect.identifier_preparer
        kind = column.type.compile(dialect=engine.dialect)
        try:
            with engine.begin() as connection:
                connection.execute(
                    text(f"ALTER TABLE {quote.format_table(table)} ADD COLUMN {quote.format_column(column)} {kind}")
                )
        except Exception as error:  # noqa: BLE001  # each database has its own
            logger.warning("Failed to add missing column %s to table %s: %r", column.name, table.name, error)

    def session_factory(self, dburi: str, **kwargs: Any) -> Any:
        """A session, with the tables there."""
        engine, session = self.create_session(dburi, **kwargs)
        self.prepare_models(engine)
        return session()


def _after_fork_cleanup_session(session: SessionManager) -> None:
    session._after_fork()
