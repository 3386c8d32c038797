"""What a run left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from examples.stdlib_index.index import Answer, Index
from svcjobs import Job, JobQueue
from svcjobs.stats import QueueStats


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the report is made of.

    Args:
        answers: by question and file.
        runs: how often an answer was stored; more than there are answers when a job ran twice.
        stats: the queue at the end.
        dead: its dead letters.
        story: sentences about what happened on the way.
    """

    answers: Mapping[tuple[str, str], Answer]
    runs: int
    stats: QueueStats
    dead: Sequence[Job]
    story: Sequence[str] = ()

    @classmethod
    def read(cls, index: Index, queue: JobQueue, story: Sequence[str] = ()) -> Outcome:
        """What ``index`` and ``queue`` hold now."""
        return cls(index.answers(), index.runs(), queue.stats(), queue.dead(limit=1000), story)
