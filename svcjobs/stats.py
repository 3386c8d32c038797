"""How much lies where in a queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

TOTALS = ("enqueued", "acked", "retried", "buried", "released", "reclaimed", "requeued", "stale", "cancelled")


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One consistent picture of a queue.

    Args:
        queue: its name.
        ready: jobs waiting to be reserved, all priorities.
        delayed: jobs waiting for their time.
        in_flight: reserved jobs.
        dead: jobs in the dead letter queue.
        paused: whether the queue hands out jobs.
        at: when this was so, by the queue's clock.
        oldest_ready_age_seconds: how long the longest-waiting ready job has been due; None without one.
        next_delayed_at: when the next delayed job is due.
        ready_by_priority: ready jobs per priority, only those in use.
        totals: counts since the queue began, by outcome; each of :data:`TOTALS` is there. ``buried`` counts all
            jobs that went to the dead letter queue, ``cancelled`` those of them that somebody cancelled.
    """

    queue: str
    ready: int
    delayed: int
    in_flight: int
    dead: int
    paused: bool
    at: datetime
    oldest_ready_age_seconds: float | None = None
    next_delayed_at: datetime | None = None
    ready_by_priority: Mapping[int, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
