"""Ways through all jobs of a queue, page by page, while workers go on and the jobs that are met leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from svcjobs.job import Job, Place
from svcjobs.queue import JobQueue
from svcjobs.stats import QueueStats

PAGE = 200
"""Jobs in memory at once. A payload may have a megabyte."""

Act = Callable[[list[Job]], int]
"""Deals with the jobs of a page; returns how many of them left the place that they lay in."""


def sweep_dead(queue: JobQueue, act: Act) -> None:
    """Show each job to ``act`` that is dead now, the oldest first.

    Those that die meanwhile come in at the other end, so a job that is requeued and dies again isn't met twice.
    """
    dead, seen, kept = queue.stats().dead, 0, 0
    while seen < dead and (page := queue.dead(min(PAGE, dead - seen), kept, oldest_first=True)):
        seen += len(page)
        kept += len(page) - act(page)


def sweep_living(queue: JobQueue, act: Act) -> None:
    """Show each job to ``act`` that waits or runs.

    Each place is gone through from where jobs come in to where they are taken, and the places in the order in which a
    job passes them: so what moves on meanwhile is met again rather than missed.
    """
    _sweep(queue, ("delayed", "ready", "leased"), act)


def sweep_delayed(queue: JobQueue, act: Act) -> None:
    """Show each job to ``act`` that waits for its time: those, too, that wait for a retry only since another sweep."""
    _sweep(queue, ("delayed",), act)


def _sweep(queue: JobQueue, places: Sequence[Place], act: Act) -> None:
    for place in places:
        end = _size(queue.stats(), place)
        while end > 0:
            start = max(0, end - PAGE)
            act(queue.peek(place, end - start, start))
            end = start


def _size(stats: QueueStats, place: Place) -> int:
    sizes: dict[Place, int] = {"delayed": stats.delayed, "ready": stats.ready, "leased": stats.in_flight}
    return sizes[place]
