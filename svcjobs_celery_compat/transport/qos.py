"""What a channel's consumers hold, and what becomes of it."""

from __future__ import annotations

import logging
import sys
from typing import Any
from weakref import WeakValueDictionary

from kombu.transport import virtual

from svcjobs.errors import JobsError
from svcjobs.job import Job
from svcjobs.settlement import Bury, Outcome, Release, Settlement

logger = logging.getLogger(__name__)

WITHOUT_A_WORD = "a consumer rejected the message"
WHY_CHARACTERS = 300


class QoS(virtual.QoS):
    """Settles leases: ack removes the job, reject buries it, requeue puts it at the back and counts the delivery.

    A message whose lease was lost meanwhile is being delivered to somebody else: settling it changes nothing.
    """

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        super().__init__(channel, prefetch_count)
        self._outliving: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def credit(self) -> int | None:
        """How many more messages may be delivered; None for any number."""
        if not self.can_consume():
            return 0
        if "can_consume" in vars(self):  # Celery's worker_disable_prefetch asks before each message
            return 1
        return self.can_consume_max_estimate()  # type: ignore[no-any-return]

    def ack(self, delivery_tag: str) -> None:
        """The message was dealt with."""
        job = self._job(delivery_tag)
        if job and self.channel.intake.in_batches:
            self.channel.acks.add(job)
        elif job:
            self.channel.acks.send_or_keep(job)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message won't be dealt with here (``requeue``) or at all."""
        job = self._job(delivery_tag)
        if job and requeue:
            self._settle(Release(job, charged=True))
        elif job and self.channel.options.dead_letter_rejected:
            self._settle(Bury(job, "rejected", _why()))
        elif job:
            self.channel.acks.send_or_keep(job)
        super().ack(delivery_tag)

    def restore_unacked(self) -> None:
        """Give back all that wasn't settled: to the front of the queues, and the delivery isn't counted."""
        self.channel.send_acks()
        self._flush()
        jobs = self._jobs()
        self._delivered.clear()
        self.channel.give_back(jobs)

    def outlive(self, buffered: list[Job]) -> None:
        """Give nothing back, for the server is away; see :meth:`LeaseKeeper.outlive`."""
        self.restore_at_shutdown = False
        self._flush()
        self._outliving.update(self._delivered)
        self.channel.keeper.outlive(self._delivered.values(), buffered)
        self._delivered.clear()

    def _jobs(self) -> list[Job]:
        return [job for message in list(self._delivered.values()) if (job := message._raw.get("job"))]

    def _job(self, delivery_tag: str) -> Job | None:
        message = self._delivered.get(delivery_tag) or self._outliving.get(delivery_tag)
        job: Job | None = message._raw.get("job") if message else None
        return job

    def _settle(self, settlement: Settlement) -> None:
        job = settlement.job
        (outcome,) = self.channel.queues.at(job.queue).settle_many([settlement])
        self.channel.keeper.drop([job])
        if outcome is Outcome.STALE:
            logger.warning("message %s of queue %s was settled too late: its lease was lost", job.id, job.queue)


def _why() -> str:
    """What the dead job is to say. Celery rejects while it handles the error, such as that of an unknown name."""
    error = sys.exception()
    text = f"a consumer rejected the message: {type(error).__name__}: {error}" if error else WITHOUT_A_WORD
    return text if len(text) <= WHY_CHARACTERS else text[: WHY_CHARACTERS - 1] + "…"


def give_back(queues: Any, keeper: Any, jobs: list[Job]) -> None:
    """Release jobs uncharged, in their order; those that can't be come again when their leases run out."""
    keeper.drop(jobs)
    by_queue: dict[str, list[Release]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue, []).append(Release(job))
    for prefix, releases in by_queue.items():
        try:
            queues.at(prefix).settle_many(releases)
        except JobsError as error:
            logger.warning("%d messages of queue %s weren't given back: %s", len(releases), prefix, error)
