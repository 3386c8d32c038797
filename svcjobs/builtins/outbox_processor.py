"""The relay: moves messages from the outbox to the queue."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from svcjobs.db.message import OutboxMessage, TopicBacklog
from svcjobs.db.outbox import AsyncOutbox, Outbox
from svcjobs.errors import ConfigurationError, InvalidJob
from svcjobs.job import Job, NewJob, Unique
from svcjobs.threads import Threads

logger = logging.getLogger(__name__)

BATCH = 1000
"""Each batch costs two commits, which wait for a disk: 100 messages a batch were 1,100 a second on PostgreSQL,
1,000 are 8,000 (two cores, others at work on them)."""
REMEMBER_SECONDS = 86_400


class RelayQueue(Protocol):
    """What the relay needs of a queue: any :class:`~svcjobs.queue.JobQueue`, or one whose methods are coroutines."""

    @property
    def enqueue_many(self) -> Callable[[Sequence[NewJob]], list[Job] | Awaitable[list[Job]]]:
        """Store the jobs; refuse all of them with InvalidJob when one is invalid."""
        ...


def make_outbox_tick(
    outbox: Outbox | AsyncOutbox,
    queue: RelayQueue,
    *,
    topics: Collection[str] | None = None,
    job_name_prefix: str = "outbox",
    limit: int = 1000,
) -> Callable[[], Coroutine[Any, Any, int]]:
    """A coroutine function for a scheduler: each call moves pending messages to the queue.

    A message becomes the job ``{job_name_prefix}.{topic}`` with the payload ``{"outbox_id", "topic",
    "payload"}``, once, also when relays run side by side or one is killed at any step. When the queue or the
    database doesn't answer, the call raises their error and the messages stay pending. One that the queue
    refuses as invalid is logged, counted in ``attempts`` and tried again later; the others go on.

    Args:
        outbox: where messages are taken from.
        queue: where they go. Coroutine methods of both are awaited, others called in a thread.
        topics: only these; None is all.
        job_name_prefix: first part of the job's name.
        limit: messages a call looks at, at most, in batches of up to 1,000.

    Returns:
        The function; it returns how many messages were moved.

    Raises:
        ConfigurationError: an argument can't be used.
    """
    return OutboxRelay(outbox, queue, topics=topics, job_name_prefix=job_name_prefix, limit=limit).tick


class OutboxRelay:
    """What :func:`make_outbox_tick` makes its function of, for who wants the counts too.

    Args:
        outbox: as there.
        queue: as there.
        topics: as there.
        job_name_prefix: as there.
        limit: as there.

    Attributes:
        moved: how many messages were moved so far.
        refused: how often the queue has refused one.

    Raises:
        ConfigurationError: an argument can't be used.
    """

    def __init__(
        self,
        outbox: Outbox | AsyncOutbox,
        queue: RelayQueue,
        *,
        topics: Collection[str] | None = None,
        job_name_prefix: str = "outbox",
        limit: int = 1000,
    ) -> None:
        if isinstance(topics, str):
            raise ConfigurationError(f"topics is the text {topics!r}: give a list of topics")
        if limit < 1:
            raise ConfigurationError(f"limit is {limit}: give a whole number from 1")
        self.moved = 0
        self.refused = 0
        self._outbox = outbox
        self._queue = queue
        self._topics = topics
        self._prefix = job_name_prefix
        self._limit = limit
        self._threads = Threads("svcjobs-outbox")

    async def tick(self) -> int:
        """Move up to ``limit`` messages; returns how many were moved."""
        seen = moved = 0
        while seen < self._limit:
            size = min(BATCH, self._limit - seen)
            messages = await self._call(self._outbox.fetch_many, size, self._topics)
            if not messages:
                break
            moved += await self._move(messages)
            seen += len(messages)
        return moved

    async def backlog(self) -> list[TopicBacklog]:
        """What is pending of the topics that are moved."""
        backlog: list[TopicBacklog] = await self._call(self._outbox.backlog, self._topics)
        return backlog

    async def _move(self, messages: list[OutboxMessage]) -> int:
        try:
            moved = await self._enqueue(messages)
        except Exception:
            # the queue is to blame and not the messages: they go first as soon as it is back
            await self._call(self._outbox.release, *_ids(messages))
            raise
        if moved:
            await self._call(self._outbox.mark_processed, *_ids(moved))
            self.moved += len(moved)
        return len(moved)

    async def _enqueue(self, messages: list[OutboxMessage]) -> list[OutboxMessage]:
        try:
            await self._call_queue(messages)
        except InvalidJob as error:
            if len(messages) > 1:
                # the queue took none of them, to find the bad one they go singly
                return [moved for message in messages for moved in await self._enqueue([message])]
            await self._refused(messages[0], error)
            return []
        return messages

    async def _call_queue(self, messages: list[OutboxMessage]) -> None:
        await self._call(self._queue.enqueue_many, [self._job(message) for message in messages])

    async def _refused(self, message: OutboxMessage, error: InvalidJob) -> None:
        logger.warning("the queue refuses outbox message %s (topic %s): %s", message.id, message.topic, error)
        self.refused += 1
        await self._call(self._outbox.mark_failed, message.id)

    async def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        return await self._threads.run(partial(method, *args), like=method)

    def _job(self, message: OutboxMessage) -> NewJob:
        payload: dict[str, Any] = {"outbox_id": message.id, "topic": message.topic, "payload": message.payload}
        return NewJob(f"{self._prefix}.{message.topic}", payload, unique=_unique(message))


def _unique(message: OutboxMessage) -> Unique:
    """What makes a second enqueue of the same message, after a kill before its mark, a no-op.

    A job id, or a unique key of scope ``done``, holds only while the job lives: a quick worker has acked it long
    before the claim of the killed relay ends. A window holds whatever became of the job, and a day is far more
    than the minute that a claim lasts, so that a relay may stay down for that long. The price is one small key a
    message and day. The time of creation is part of the key because an id alone comes again when a database is
    made anew, or when two of them feed one queue, and then a new message would be taken for an old one.
    """
    created = message.created_at.isoformat()
    return Unique(f"outbox:{message.id}:{created}", scope="window", window_seconds=REMEMBER_SECONDS)


def _ids(messages: list[OutboxMessage]) -> list[int]:
    return [message.id for message in messages]
