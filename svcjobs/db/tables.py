"""The tables of the SQL stores, for ``create_tables`` or for the application's own migrations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

from svcjobs.db.mark import KEY_CHARACTERS
from svcjobs.db.message import TOPIC_CHARACTERS

MYSQL = ("mysql", "mariadb")
"""The two names that SQLAlchemy's dialect goes by."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant to the microsecond, also in databases that keep no time zone."""

    # MySQL rounds to whole seconds unless told otherwise
    impl = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *MYSQL)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class ExactText(TypeDecorator[str]):
    """Text of which no two are equal, also on MySQL, whose collations ignore case or spaces at the end.

    Args:
        length: characters, at most.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        in_bytes = dialect.name in MYSQL
        return dialect.type_descriptor(mysql.VARBINARY(4 * self.length) if in_bytes else String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return value.encode() if value is not None and dialect.name in MYSQL else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return value.decode() if isinstance(value, bytes) else value


metadata = MetaData()

_PENDING = text("processed_at IS NULL")

# The payload is text and no JSON column, so that it is the same JSON in every database, and no engine's
# own serializer has a say in it. `available_at` is the end of a claim, or of the pause after a failure.
outbox = Table(
    "svcjobs_outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", ExactText(TOPIC_CHARACTERS), nullable=False),
    Column("payload", Text().with_variant(mysql.LONGTEXT(), *MYSQL), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("available_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("processed_at", UtcDateTime),
    # The pending ones in their order, so that what was processed long ago costs a fetch nothing. MySQL has no partial
    # indexes, and uses the second one for it; that also finds what can be purged.
    Index("svcjobs_outbox_pending", "id", postgresql_where=_PENDING, sqlite_where=_PENDING),
    Index("svcjobs_outbox_processed", "processed_at", "id"),
    # else SQLite gives the id of a deleted last row out again
    sqlite_autoincrement=True,
)

inbox = Table(
    "svcjobs_inbox",
    metadata,
    Column("key", ExactText(KEY_CHARACTERS), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("svcjobs_inbox_expiry", "expires_at"),
)


def create_tables(bind: Engine | Connection) -> None:
    """Create the tables that aren't there yet: ``svcjobs_outbox`` and ``svcjobs_inbox``.

    With an ``AsyncConnection``: ``await connection.run_sync(create_tables)``.
    """
    metadata.create_all(bind)
