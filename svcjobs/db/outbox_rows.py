"""The rows of the outbox: the statements of its stores."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, RowMapping, Update, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from svcjobs.clock import Clock, utc
from svcjobs.db.claim import Head, claim_ids
from svcjobs.db.message import CLAIM_SECONDS, OutboxMessage, TopicBacklog, encode_message, pause_seconds
from svcjobs.db.tables import outbox
from svcjobs.errors import InvalidJob
from svcjobs.job import decode_payload

logger = logging.getLogger(__name__)

_COLUMNS = (
    outbox.c.id,
    outbox.c.topic,
    outbox.c.payload,
    outbox.c.created_at,
    outbox.c.attempts,
    outbox.c.processed_at,
)
_PENDING = outbox.c.processed_at.is_(None)


class OutboxRows:
    """Each method works within the transaction of the session it is given.

    Args:
        clock: read for claims and times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def insert(self, session: Session, topic: str, payload: dict[str, Any]) -> OutboxMessage:
        text = encode_message(topic, payload)
        now = self._now()
        row = insert(outbox).values(topic=topic, payload=text, created_at=now, available_at=now, attempts=0)
        done = cast("CursorResult[Any]", session.execute(row))
        key = done.inserted_primary_key
        assert key is not None  # noqa: S101 - of an insert of one row it never is
        return OutboxMessage(key[0], topic, decode_payload(text), now)

    def claim(self, session: Session, limit: int, topics: Collection[str] | None) -> list[OutboxMessage]:
        now = self._now()
        _prepare_claim(session)
        heads = select(outbox.c.id, outbox.c.topic, outbox.c.attempts, _size(session)).order_by(outbox.c.id)
        due = heads.where(_pending(topics), outbox.c.available_at <= now).limit(limit).with_for_update(skip_locked=True)

        def lock(held: Collection[str]) -> list[Head]:
            rows = session.execute(due.where(outbox.c.topic.not_in(held)) if held else due)
            return [Head(*row) for row in rows]

        ids = claim_ids(lock, lambda locked: _pending_before(session, locked))
        if not ids:
            return []
        self.change(session, update(outbox).values(available_at=now + timedelta(seconds=CLAIM_SECONDS)), ids)
        whole = select(*_COLUMNS).where(outbox.c.id.in_(ids)).order_by(outbox.c.id)
        return [message for row in session.execute(whole).mappings().all() if (message := self._read(session, row))]

    def processed(self) -> Update:
        return update(outbox).values(processed_at=self._now())

    def released(self) -> Update:
        return update(outbox).values(available_at=self._now())

    def change(self, session: Session, change: Update, message_ids: Collection[int]) -> None:
        """Make a change to those that are pending."""
        if message_ids:
            session.execute(change.where(outbox.c.id.in_(message_ids), _PENDING))

    def postpone(self, session: Session, message_id: int) -> None:
        this = (outbox.c.id == message_id) & _PENDING
        session.execute(update(outbox).where(this).values(attempts=outbox.c.attempts + 1))
        attempts = session.execute(select(outbox.c.attempts).where(this)).scalar_one_or_none()
        if attempts is not None:
            later = self._now() + timedelta(seconds=pause_seconds(attempts))
            session.execute(update(outbox).where(this).values(available_at=later))

    def get(self, session: Session, message_id: int) -> OutboxMessage | None:
        row = session.execute(select(*_COLUMNS).where(outbox.c.id == message_id)).mappings().one_or_none()
        return _message(row) if row else None

    def purge(self, session: Session, keep_seconds: float, limit: int) -> int:
        old: ColumnElement[bool] = outbox.c.processed_at <= self._now() - timedelta(seconds=keep_seconds)
        first = select(outbox.c.id).where(old).order_by(outbox.c.processed_at).limit(limit)
        ids = session.execute(first).scalars().all()
        done = session.execute(delete(outbox).where(outbox.c.id.in_(ids)))
        return cast("CursorResult[Any]", done).rowcount

    def backlog(self, session: Session, topics: Collection[str] | None) -> list[TopicBacklog]:
        refused = func.coalesce(func.sum(case((outbox.c.attempts > 0, 1), else_=0)), 0)
        counts = select(outbox.c.topic, func.count(), refused, func.min(outbox.c.created_at))
        rows = session.execute(counts.where(_pending(topics)).group_by(outbox.c.topic).order_by(outbox.c.topic))
        return [TopicBacklog(topic, pending, int(bad), oldest_at) for topic, pending, bad, oldest_at in rows]

    def _read(self, session: Session, row: RowMapping) -> OutboxMessage | None:
        try:
            return _message(row)
        except InvalidJob as error:
            # written by hand: it must not keep the messages behind it from moving
            logger.error("outbox message %s can't be read and stays where it is: %s", row["id"], error)
            self.postpone(session, row["id"])
            return None

    def _now(self) -> datetime:
        return utc(self._clock())


def _pending(topics: Collection[str] | None) -> ColumnElement[bool]:
    return _PENDING if topics is None else _PENDING & outbox.c.topic.in_(topics)


def _size(session: Session) -> ColumnElement[int]:
    """The payload's size; of characters on SQLite, which has counted bytes only since 3.43."""
    measure = func.length if session.get_bind().dialect.name == "sqlite" else func.octet_length
    return measure(outbox.c.payload).label("size")


def _prepare_claim(session: Session) -> None:
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        # its write lock, before anything is read: it has no row locks, and none can be taken after a read that another
        # writer has overtaken
        session.execute(update(outbox).where(outbox.c.id == -1).values(attempts=0))
    elif dialect == "postgresql":
        # While its statistics are old it takes a long backlog for a short one, and sorts all of it for each batch
        # instead of reading the index of pending messages from its beginning.
        session.execute(
            select(func.set_config("enable_bitmapscan", "off", True), func.set_config("enable_sort", "off", True))
        )


def _pending_before(session: Session, locked: Sequence[Head]) -> Iterable[tuple[int, str]]:
    pending = select(outbox.c.id, outbox.c.topic).where(
        _PENDING,
        outbox.c.attempts == 0,
        outbox.c.id <= locked[-1].id,
        outbox.c.topic.in_({head.topic for head in locked}),
    )
    rows = session.execute(pending.order_by(outbox.c.id))
    return ((message_id, topic) for message_id, topic in rows)


def _message(row: RowMapping) -> OutboxMessage:
    columns = dict(row)
    return OutboxMessage(**columns | {"payload": decode_payload(columns["payload"])})
