"""Databases of a test's own on servers that run already, or in a file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, MetaData, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

KINDS = ("sqlite", "postgresql", "mariadb")
SERVERS = {
    "postgresql": os.environ.get("SVCJOBS_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "mariadb": os.environ.get("SVCJOBS_TEST_MARIADB", "mariadb+pymysql://root@127.0.0.1:3306/mysql"),
}
ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mariadb": "mariadb+asyncmy"}


class NoDatabase(Exception):
    """The server of a database isn't there."""


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database.

    Args:
        kind: one of KINDS.
        address: where SQLAlchemy finds it.
    """

    kind: str
    address: URL

    @property
    def url(self) -> str:
        """The address as text."""
        return self.address.render_as_string(hide_password=False)

    @property
    def async_url(self) -> str:
        """The address with a driver for asyncio."""
        return self.address.set(drivername=ASYNC_DRIVERS[self.kind]).render_as_string(hide_password=False)


@contextmanager
def new_database(kind: str, folder: Path) -> Iterator[Database]:
    """An empty database, dropped at the end.

    Args:
        kind: one of KINDS.
        folder: where SQLite's file is put.

    Raises:
        NoDatabase: its server doesn't answer.
    """
    if kind == "sqlite":
        yield Database(kind, URL.create("sqlite", database=f"{folder}/{uuid.uuid4().hex}.db"))
        return
    name = f"svcjobs_{uuid.uuid4().hex}"
    server = make_url(SERVERS[kind])
    _run(server, f"CREATE DATABASE {name}")
    try:
        yield Database(kind, server.set(database=name))
    finally:
        _run(server, f"DROP DATABASE {name}" + (" WITH (FORCE)" if kind == "postgresql" else ""))


def drop_tables(engine: Engine) -> None:
    """Drop every table of a database."""
    metadata = MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine)


def _run(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except OperationalError as error:
        raise NoDatabase(f"no {server.get_backend_name()} server answers at {server.host}:{server.port}") from error
    finally:
        engine.dispose()
