"""What probes and Prometheus ask a process that runs a schedule and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from svcjobs.errors import JobsError
from svcjobs.metrics import SummedMetrics
from svcjobs.probes import WEDGED_SECONDS, Answer, Probes
from svcjobs.queue import JobQueue
from svcjobs.scheduler import InMemoryScheduler

BEAT_SECONDS = 0.5
LATE_SECONDS = 5.0
"""A schedule that wasn't looked at for so long, with nothing in the way, isn't served."""


class SchedulerHealth:
    """Answers /livez, /readyz and /metrics from its making on, also while the server is waited for.

    Args:
        ports: where to listen, see :class:`~svcjobs.probes.Probes`.

    Attributes:
        ports: where it listens.
        stopping: set it when a stop was asked for.

    Raises:
        ConfigurationError: a port can't be had.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.stopping = False
        self._scheduler: InMemoryScheduler | None = None
        self._home: JobQueue | None = None
        self._turned_at: float | None = None
        self._metrics = SummedMetrics()
        self._probes = Probes(ports, livez=self.livez, readyz=self.readyz, metrics=self._metrics.text)
        self.ports = self._probes.ports

    def watch(self, scheduler: InMemoryScheduler, home: JobQueue) -> None:
        """Tell about this schedule from now on; ``home`` is the queue that keeps its ticks."""
        self._metrics.watch_schedules(home, [task.name for task in scheduler.tasks])
        self._scheduler, self._home = scheduler, home

    async def beat(self) -> None:
        """Note that the event loop turns, until cancelled."""
        while True:
            self._turned_at = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def close(self) -> None:
        """Listen no more."""
        self._probes.close()

    def livez(self) -> Answer:
        """Whether the event loop turns. A server that is away is no reason to restart a scheduler."""
        turned_at = self._turned_at
        wedged = turned_at is not None and time.monotonic() - turned_at > WEDGED_SECONDS
        return not wedged, "the event loop doesn't turn" if wedged else ""

    def readyz(self) -> Answer:
        """Whether the schedule is served: it was looked at lately, the server answers, no stop was asked for."""
        if self.stopping:
            return False, "stopping"
        looked_at = self._scheduler.last_tick_at if self._scheduler else None
        if self._home is None or looked_at is None:
            return False, "starting"
        seconds = (datetime.now(UTC) - looked_at).total_seconds()
        if seconds > LATE_SECONDS:
            return False, f"the schedule isn't served since {seconds:.0f} s"
        try:
            self._home.stats()  # when nothing is due for long, nobody else asks
        except JobsError:
            return False, "the server doesn't answer"
        return True, ""
