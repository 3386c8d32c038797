"""A keeper's duty to tell Redis that its worker lives."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from svcjobs.clock import utc
from svcjobs.errors import JobsError, QueueUnavailable
from svcjobs.heartbeats import BEAT_SECONDS, Heartbeats, LiveWorker, RunningNow
from svcjobs.keeper import Watch
from svcjobs.tally import Tally

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0


class Pulse:
    """Beats every five seconds, at once at the start and when the children's readiness changes.

    Args:
        heartbeats: where to.
        worker: what doesn't change of it.
    """

    def __init__(self, heartbeats: Heartbeats, worker: LiveWorker) -> None:
        self._heartbeats = heartbeats
        self._worker = worker
        self._beat_at = 0.0
        self._ready: tuple[int, ...] = ()

    def turn(self, watch: Watch) -> bool | None:
        """Beat when it is time; returns whether the server answered, None when it wasn't asked."""
        now = time.monotonic()
        ready = tuple(ward.pid for ward in watch.wards if ward.report.fetching)
        if now < self._beat_at and ready == self._ready:
            return None
        self._beat_at, self._ready = now + BEAT_SECONDS, ready
        try:
            self._heartbeats.beat(self._described(watch))
        except QueueUnavailable:
            self._beat_at = now + AGAIN_SECONDS
            return False
        except JobsError as error:
            logger.error("The worker can't be listed: %s", error)
        return True

    def tally(self, tally: Tally) -> None:
        """Counts aren't shown here."""

    def end(self) -> None:
        """The worker is listed no more."""
        try:
            self._heartbeats.leave(self._worker.name)
        except JobsError as error:
            logger.warning("The worker is listed on for a while: %s", error)
        self._heartbeats.close()

    def _described(self, watch: Watch) -> LiveWorker:
        queues = dict.fromkeys(prefix for ward in watch.wards for prefix in ward.report.queues)
        running = [
            RunningNow(job.name, job.job_id, job.queue, job.attempt, utc(job.started_at), ward.pid)
            for ward in watch.wards
            for job in ward.held
            if job.started_at is not None
        ]
        return replace(
            self._worker,
            queues=list(queues) or list(self._worker.queues),
            children=sorted(ward.pid for ward in watch.wards),
            running=sorted(running, key=lambda job: job.started_at),
            stopping=watch.stopping,
        )
