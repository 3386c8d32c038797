"""The database that a URL names, with an outbox in it: what a relay needs that is no part of an application."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from svcjobs.db.async_sql_outbox import AsyncOutboxStore
from svcjobs.db.outbox import AsyncOutbox, Outbox
from svcjobs.db.sql_outbox import OutboxStore
from svcjobs.db.tables import outbox
from svcjobs.db.transactions import DIALECTS
from svcjobs.errors import ConfigurationError, DatabaseUnavailable, JobsError

FORMS = "postgresql+psycopg://user:password@host/name, mariadb+pymysql://… or sqlite:///path"
WRONG = re.compile(
    r"authentication failed|does not exist|doesn't exist|access denied|unknown database|permission denied"
    r"|command denied|unable to open|not a database|no such table|no password supplied",
    re.IGNORECASE,
)
"""What databases say of a wrong URL, or of a user who may not; no time will mend that, unlike a server that is away."""


class Database:
    """The database at a URL; implements :class:`~svcjobs.db.source.OutboxSource`.

    Drivers of both kinds do, plain ones and asyncio's.

    Args:
        url: as SQLAlchemy has them; ``postgres://`` is read as ``postgresql://``.

    Raises:
        ConfigurationError: the URL can't be read, its database isn't one that the stores know, or its driver isn't
            installed.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        if self._url.get_backend_name() not in DIALECTS:
            raise ConfigurationError(f"the database is {self._url.get_backend_name()}: use {FORMS}")
        try:
            self._engine = _engine(self._url)
        except NoSuchModuleError:
            raise ConfigurationError(f"SQLAlchemy knows no driver {self._url.drivername}: use {FORMS}") from None
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{error.name}, the driver of {self._url.drivername}://, isn't installed: install it, or name another "
                f"driver, such as in {FORMS}"
            ) from error
        self.outbox: Outbox | AsyncOutbox = (
            OutboxStore(sessionmaker(self._engine))
            if isinstance(self._engine, Engine)
            else AsyncOutboxStore(async_sessionmaker(self._engine))
        )

    def __str__(self) -> str:
        # the query may hold a password too
        url = self._url
        return str(URL.create(url.drivername, None, None, url.host, url.port, url.database))

    async def check(self) -> None:
        self._check_file()
        try:
            has_table = await self._run(lambda connection: inspect(connection).has_table(outbox.name))
        except (SQLAlchemyError, OSError) as error:
            raise self.translate(error) from error
        if not has_table:
            raise ConfigurationError(
                f"{self} has no table {outbox.name}: make it by svcjobs.db.tables.create_tables, or by the migration"
            )

    def translate(self, error: Exception) -> JobsError:
        said = str(getattr(error, "orig", None) or error)
        for secret in (self._url.password, *map(str, self._url.query.values())):
            said = said.replace(secret, "***") if secret else said
        kind = ConfigurationError if WRONG.search(said) else DatabaseUnavailable
        return kind(f"the database {self}: {said.strip()}")

    async def close(self) -> None:
        """Close its connections."""
        if isinstance(self._engine, AsyncEngine):
            await self._engine.dispose()
        else:
            self._engine.dispose()

    async def _run(self, look: Callable[[Connection], bool]) -> bool:
        if isinstance(self._engine, AsyncEngine):
            async with self._engine.connect() as connection:
                return await connection.run_sync(look)
        with self._engine.connect() as connection:
            return look(connection)

    def _check_file(self) -> None:
        name = self._url.database
        if self._url.get_backend_name() != "sqlite" or not name or name.startswith((":memory:", "file:")):
            return
        if not Path(name).exists():  # SQLite would make an empty one
            raise ConfigurationError(f"{self}: there is no such file")


def _parse(text: str) -> URL:
    try:
        url = make_url(re.sub(r"^postgres(?=://|\+)", "postgresql", text))
    except (ArgumentError, ValueError):
        # what can't be parsed may have the password anywhere, so nothing of it is shown
        raise ConfigurationError(
            f"the database's URL can't be read: write {FORMS}, with %-codes for special characters in a password"
        ) from None
    return url


def _engine(url: URL) -> Engine | AsyncEngine:
    # parameters hold payloads, which have no place in errors and logs
    make: Any = create_async_engine if url.get_dialect().is_async else create_engine
    engine: Engine | AsyncEngine = make(url, hide_parameters=True)
    return engine
