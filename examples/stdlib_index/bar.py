"""The progress bar: jobs that have come to an end, out of all."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from svcjobs.stats import QueueStats


def ended(stats: QueueStats) -> int:
    """How many jobs of any kind have ended, in success or in the dead letter queue."""
    return stats.totals.get("acked", 0) + stats.totals.get("buried", 0)


def is_idle(stats: QueueStats) -> bool:
    """Whether no job waits or runs."""
    return not (stats.ready or stats.delayed or stats.in_flight)


class JobBar:
    """A bar over all jobs that were enqueued, ticks of the schedule included."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._task = self._progress.add_task("indexing", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, stats: QueueStats) -> None:
        """Draw what ``stats`` says."""
        waiting = f"indexing  [dim]ready {stats.ready}, running {stats.in_flight}, retrying {stats.delayed}"
        self._progress.update(
            self._task, completed=ended(stats), total=stats.totals.get("enqueued", 0), description=waiting
        )
