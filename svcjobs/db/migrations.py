"""The tables of the SQL stores, step by step, for the Alembic migrations of an application.

A revision of yours calls one step, and names it, so that it does the same for ever::

    from alembic import op
    from svcjobs.db import migrations


    def upgrade() -> None:
        migrations.upgrade(op, step=1)


    def downgrade() -> None:
        migrations.downgrade(op, step=1)

With ``svcjobs.db.tables.metadata`` in the ``target_metadata`` of ``env.py``, ``--autogenerate`` leaves them alone.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Column, DateTime, Integer, String, Text, text
from sqlalchemy.dialects import mysql

from svcjobs.errors import ConfigurationError

Operations: TypeAlias = Any
"""Alembic's ``op``, or an ``alembic.operations.Operations``."""


def upgrade(op: Operations, *, step: int) -> None:
    """Make the changes of one step.

    Raises:
        ConfigurationError: there is no such step.
    """
    _of(step)[0](op)


def downgrade(op: Operations, *, step: int) -> None:
    """Undo the changes of one step, and lose what is stored in what it made.

    Raises:
        ConfigurationError: there is no such step.
    """
    _of(step)[1](op)


# A step never changes once it is released, so none uses the definitions in tables.py, which do.


def _make_outbox_and_inbox(op: Operations) -> None:
    at = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    exact = String(255).with_variant(mysql.VARBINARY(1020), "mysql", "mariadb")
    op.create_table(
        "svcjobs_outbox",
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("topic", exact, nullable=False),
        Column("payload", Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"), nullable=False),
        Column("created_at", at, nullable=False),
        Column("available_at", at, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("processed_at", at),
        sqlite_autoincrement=True,
    )
    pending = text("processed_at IS NULL")
    op.create_index("svcjobs_outbox_pending", "svcjobs_outbox", ["id"], postgresql_where=pending, sqlite_where=pending)
    op.create_index("svcjobs_outbox_processed", "svcjobs_outbox", ["processed_at", "id"])
    op.create_table("svcjobs_inbox", Column("key", exact, primary_key=True), Column("expires_at", at, nullable=False))
    op.create_index("svcjobs_inbox_expiry", "svcjobs_inbox", ["expires_at"])


def _drop_outbox_and_inbox(op: Operations) -> None:
    op.drop_table("svcjobs_inbox")
    op.drop_table("svcjobs_outbox")


_Step: TypeAlias = Callable[[Operations], None]
_STEPS: MappingProxyType[int, tuple[_Step, _Step]] = MappingProxyType(
    {1: (_make_outbox_and_inbox, _drop_outbox_and_inbox)}
)


def _of(step: int) -> tuple[_Step, _Step]:
    if step not in _STEPS:
        raise ConfigurationError(f"there is no step {step!r}: the steps are {', '.join(map(str, _STEPS))}")
    return _STEPS[step]
