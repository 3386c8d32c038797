"""The rows of the inbox: the statements of its stores."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from svcjobs.clock import Clock, utc
from svcjobs.db.mark import expiry, stored_key
from svcjobs.db.tables import MYSQL, inbox

PURGED_AT_ONCE = 1000


class InboxRows:
    """Each method works within the transaction of the session it is given.

    Args:
        clock: decides when a mark ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def mark_if_new(self, session: Session, key: str, ttl_seconds: float) -> bool:
        now = self._clock()
        end = utc(expiry(now, ttl_seconds))
        if session.get_bind().dialect.name in MYSQL:
            return self._mark_if_new_on_mysql(session, stored_key(key), utc(now), end)
        # one statement, since a look followed by a write would let two callers in
        make = _insert(session)(inbox).values(key=stored_key(key), expires_at=end)
        upsert = make.on_conflict_do_update(
            index_elements=[inbox.c.key],
            set_={"expires_at": make.excluded.expires_at},
            where=inbox.c.expires_at <= utc(now),
        )
        return session.execute(upsert.returning(inbox.c.key)).first() is not None

    def is_marked(self, session: Session, key: str) -> bool:
        live = select(inbox.c.key).where(inbox.c.key == stored_key(key), inbox.c.expires_at > utc(self._clock()))
        return session.execute(live).first() is not None

    def mark(self, session: Session, key: str, ttl_seconds: float) -> None:
        end = utc(expiry(self._clock(), ttl_seconds))
        make = _insert(session)(inbox).values(key=stored_key(key), expires_at=end)
        if session.get_bind().dialect.name in MYSQL:
            session.execute(make.on_duplicate_key_update(expires_at=end))
        else:
            session.execute(make.on_conflict_do_update(index_elements=[inbox.c.key], set_={"expires_at": end}))

    def purge(self, session: Session) -> int:
        """Remove up to :data:`PURGED_AT_ONCE` marks, so that no transaction locks many of them for long."""
        ended = inbox.c.expires_at <= utc(self._clock())
        first = select(inbox.c.key).where(ended).order_by(inbox.c.expires_at).limit(PURGED_AT_ONCE)
        keys = session.execute(first).scalars().all()
        if not keys:
            return 0
        # one that was prolonged since stays
        done = session.execute(delete(inbox).where(inbox.c.key.in_(keys), ended))
        return cast("CursorResult[Any]", done).rowcount

    def _mark_if_new_on_mysql(self, session: Session, key: str, now: datetime, end: datetime) -> bool:
        """MySQL doesn't tell whether its upsert has changed the row. So make sure that there is one, which locks it,
        and then prolong it if it has ended: the row that wasn't there is made as one that ends now."""
        make = mysql_insert(inbox).values(key=key, expires_at=now)
        session.execute(make.on_duplicate_key_update(expires_at=inbox.c.expires_at))
        ended = (inbox.c.key == key) & (inbox.c.expires_at <= now)
        done = session.execute(update(inbox).where(ended).values(expires_at=end))
        return cast("CursorResult[Any]", done).rowcount == 1


def _insert(session: Session) -> Any:
    name = session.get_bind().dialect.name
    if name in MYSQL:
        return mysql_insert
    return sqlite_insert if name == "sqlite" else postgresql_insert
