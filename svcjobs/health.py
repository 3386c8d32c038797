"""What probes and Prometheus ask a worker: /livez, /readyz and /metrics over HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence

from svcjobs.keeper import Watch
from svcjobs.metrics import SummedMetrics
from svcjobs.probes import WEDGED_SECONDS, Answer, Probes
from svcjobs.queue import JobQueue
from svcjobs.tally import Tally
from svcjobs.ward import Ward


class Health:
    """A keeper's duty to answer HTTP requests, in threads that wait for no server.

    Args:
        ports: where to listen, see :class:`~svcjobs.probes.Probes`.
        home: the queue that keeps the ticks of schedules; None without them.

    Attributes:
        ports: where it listens.

    Raises:
        ConfigurationError: a port can't be had.
    """

    def __init__(self, ports: Sequence[int], home: JobQueue | None = None) -> None:
        self._home = home
        self._schedules: set[str] = set()
        self._watch = Watch()
        self._metrics = SummedMetrics()
        self._probes = Probes(ports, livez=self.livez, readyz=self.readyz, metrics=self._metrics.text)
        self.ports = self._probes.ports

    def watch_queue(self, queue: JobQueue) -> None:
        """Report this queue at /metrics."""
        self._metrics.watch(queue)

    def turn(self, watch: Watch) -> bool | None:
        """Remember the state; no server is asked."""
        living = {ward.pid for ward in watch.wards}
        if living != {ward.pid for ward in self._watch.wards}:
            self._metrics.bury(living)
        schedules = {name for ward in watch.wards for name in ward.report.schedules} - self._schedules
        if schedules and self._home is not None:
            self._schedules |= schedules
            self._metrics.watch(self._home, sorted(schedules))
        self._watch = watch
        return None

    def tally(self, tally: Tally) -> None:
        """Take in what a child has counted."""
        self._metrics.add(tally)

    def end(self) -> None:
        """Listen no more."""
        self._probes.close()

    def livez(self) -> Answer:
        """Whether no child is wedged. A server that is away is no reason to restart a worker."""
        now = time.monotonic()
        wedged = [f"child {ward.pid} {why}" for ward in self._watch.wards if (why := _wedged(ward, now))]
        return not wedged, "; ".join(wedged)

    def readyz(self) -> Answer:
        """Whether jobs are taken: some child fetches, the server answers, and no stop was asked for."""
        watch = self._watch
        if watch.stopping:
            return False, "stopping"
        if not watch.queue_answers:
            return False, "the server wasn't asked yet" if watch.queue_answers is None else "the server doesn't answer"
        # the process of a schedule takes none; one that hasn't reported yet may be about to
        takers = [ward for ward in watch.wards if ward.report.queues or ward.reported_at is None]
        fetching = any(ward.report.fetching for ward in takers or watch.wards)
        return fetching, "" if fetching else "no child fetches jobs"


def _wedged(ward: Ward, now: float) -> str:
    if ward.reported_at is None:
        return ""  # it is starting: it imports its application, or waits for its server
    if now - ward.active_at > WEDGED_SECONDS:
        return "is silent and uses no CPU"
    # at the time of the report: a child that is silent because a handler holds the GIL is at work
    if ward.report.loop_at is not None and ward.report.made_at - ward.report.loop_at > WEDGED_SECONDS:
        return "has an event loop that doesn't turn"
    return ""
