"""The outbox through Django's ORM."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Count, F, Min, Q
from django.db.models.functions import Length

from svcjobs.clock import Clock, utc
from svcjobs.db.claim import Head, claim_ids
from svcjobs.db.message import CLAIM_SECONDS, OutboxMessage, TopicBacklog, encode_message, pause_seconds
from svcjobs.errors import InvalidJob
from svcjobs.job import decode_payload
from svcjobs_celery_compat.contrib.django.outbox.models import Message

logger = logging.getLogger(__name__)

COLUMNS = ("id", "topic", "payload", "created_at", "attempts", "processed_at")


class DjangoOutboxStore:
    """Implements :class:`~svcjobs.db.outbox.Outbox` in a database of the project.

    :meth:`enqueue` is part of the transaction that its thread is in (``transaction.atomic``): a rollback leaves nothing
    behind. All else, which is the relay's part, may be called from any thread.

    Args:
        using: name of the database in ``DATABASES``.
        clock: read for claims and times.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS, *, clock: Clock = time.time) -> None:
        self._using = using
        self._clock = clock

    def enqueue(self, topic: str, payload: dict[str, Any]) -> OutboxMessage:
        text = encode_message(topic, payload)
        now = self._now()
        row = self._rows.create(topic=topic, payload=text, created_at=now, available_at=now, attempts=0)
        return OutboxMessage(row.id, topic, decode_payload(text), now)

    def fetch_next(self, topics: Collection[str] | None = None) -> OutboxMessage | None:
        return next(iter(self.fetch_many(1, topics)), None)

    def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]:
        now = self._now()
        with self._own():
            self._prepare_claim()
            due = self._pending(topics).filter(available_at__lte=now).order_by("id").annotate(size=Length("payload"))
            locking = due.select_for_update(skip_locked=True).values_list("id", "topic", "attempts", "size")
            ids = claim_ids(
                lambda held: [Head(*row) for row in locking.exclude(topic__in=held)[:limit]], self._pending_before
            )
            self._rows.filter(id__in=ids).update(available_at=now + timedelta(seconds=CLAIM_SECONDS))
            whole = self._rows.filter(id__in=ids).order_by("id").values(*COLUMNS)
            return [message for row in whole if (message := self._read(row))]

    def mark_processed(self, *message_ids: int) -> None:
        with self._own():
            self._pending().filter(id__in=message_ids).update(processed_at=self._now())

    def mark_failed(self, message_id: int) -> None:
        with self._own():
            self._postpone(message_id)

    def release(self, *message_ids: int) -> None:
        with self._own():
            self._pending().filter(id__in=message_ids).update(available_at=self._now())

    def get(self, message_id: int) -> OutboxMessage | None:
        with self._own():
            row = self._rows.filter(id=message_id).values(*COLUMNS).first()
        return _message(row) if row else None

    def backlog(self, topics: Collection[str] | None = None) -> list[TopicBacklog]:
        with self._own():
            counts = self._pending(topics).values("topic").order_by("topic")
            rows = counts.annotate(
                pending=Count("id"), refused=Count("id", filter=Q(attempts__gt=0)), oldest_at=Min("created_at")
            )
            return [TopicBacklog(**row) for row in rows]

    def purge_processed(self, keep_seconds: float, limit: int = 1000) -> int:
        with self._own():
            old = self._rows.filter(processed_at__lte=self._now() - timedelta(seconds=keep_seconds))
            ids = list(old.order_by("processed_at").values_list("id", flat=True)[:limit])
            removed, _ = self._rows.filter(id__in=ids).delete()
        return int(removed)

    @property
    def _rows(self) -> Any:
        return Message.objects.using(self._using)

    def _pending(self, topics: Collection[str] | None = None) -> Any:
        pending = self._rows.filter(processed_at=None)
        return pending if topics is None else pending.filter(topic__in=topics)

    def _pending_before(self, locked: Sequence[Head]) -> Any:
        pending = self._pending({head.topic for head in locked}).filter(attempts=0, id__lte=locked[-1].id)
        return pending.order_by("id").values_list("id", "topic")

    @contextmanager
    def _own(self) -> Iterator[None]:
        # no request ends in a relay's thread, so nobody else closes a connection that has failed
        connections[self._using].close_if_unusable_or_obsolete()
        with transaction.atomic(using=self._using):
            yield

    def _prepare_claim(self) -> None:
        """What ``svcjobs.db.outbox_rows`` does for the same reasons."""
        connection = connections[self._using]
        if connection.vendor == "sqlite":
            self._rows.filter(id=-1).update(attempts=0)
        elif connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)"
                )

    def _read(self, row: dict[str, Any]) -> OutboxMessage | None:
        try:
            return _message(row)
        except InvalidJob as error:
            # written by hand: it must not keep the messages behind it from moving
            logger.error("outbox message %s can't be read and stays where it is: %s", row["id"], error)
            self._postpone(row["id"])
            return None

    def _postpone(self, message_id: int) -> None:
        this = self._pending().filter(id=message_id)
        this.update(attempts=F("attempts") + 1)
        attempts = this.values_list("attempts", flat=True).first()
        if attempts is not None:
            this.update(available_at=self._now() + timedelta(seconds=pause_seconds(attempts)))

    def _now(self) -> datetime:
        return utc(self._clock())


def _message(row: dict[str, Any]) -> OutboxMessage:
    return OutboxMessage(**row | {"payload": decode_payload(row["payload"])})
