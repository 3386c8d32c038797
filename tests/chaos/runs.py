"""The runs of jobs that a history tells of, in the form in which the checker looks at them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.history import Event

SETTLE_SECONDS = 10.0
"""A process that lives on so long after a handler's end has settled the job, or was refused."""


LAST_WORDS_SECONDS = 0.1
"""For which other threads of a process may write on, after it has written of its own death."""


@dataclass(slots=True)
class Run:
    """A handler at work on a job.

    Args:
        job: id of the job.
        attempt: which one.
        lease: token of the reservation.
        pid: its process.
        start: when it began.
        end: when it ended; None when nothing was heard of it again.
        outcome: ``ok``, ``raised`` or ``cancelled``; None without an end.
        died_at: when its process was killed, infinity when it wasn't.
    """

    job: str
    attempt: int
    lease: str
    pid: int
    start: float
    end: float | None = None
    outcome: str | None = None
    died_at: float = math.inf

    @property
    def number(self) -> int:
        """The number in the token."""
        return int(self.lease.partition("-")[0])

    @property
    def until(self) -> float:
        """When it was over for certain."""
        if self.end is not None:
            return self.end
        return self.start if self.died_at == math.inf else max(self.start, self.died_at)

    @property
    def settled(self) -> bool:
        """Whether it ended by itself, and its process lived long enough to report that."""
        return self.outcome in ("ok", "raised") and self.died_at - (self.end or 0.0) > SETTLE_SECONDS


@dataclass(frozen=True, slots=True)
class Excuse:
    """A time in which leases may have run out under live handlers; ``pids`` None is every process."""

    since: float
    until: float
    pids: frozenset[int] | None

    def covers(self, run: Run, lease_seconds: float, at: float) -> bool:
        """Whether it explains that the lease of ``run`` was gone at ``at``."""
        mine = self.pids is None or run.pid in self.pids
        return mine and self.since <= at and self.until >= run.start - lease_seconds


def runs_of(events: Sequence[Event]) -> dict[str, list[Run]]:
    """All runs by job, in the order of their starts."""
    runs: dict[str, list[Run]] = defaultdict(list)
    open_runs: dict[tuple[str, str], Run] = {}
    for event in events:
        if event.kind == "start":
            run = Run(event["job"], event["attempt"], event["lease"], event.pid, event.at)
            open_runs[run.job, run.lease] = run
            runs[run.job].append(run)
        elif event.kind == "end" and (event["job"], event["lease"]) in open_runs:
            run = open_runs[event["job"], event["lease"]]
            run.end, run.outcome = event.at, event["outcome"]
    deaths: dict[int, list[float]] = defaultdict(list)
    for event in events:
        if event.kind == "death":
            deaths[event["pid"]].append(event.at)
    for run in (run for each in runs.values() for run in each):
        # the first: who kills a group tells of those in it that had died by themselves once more
        told = (at for at in sorted(deaths[run.pid]) if at > run.start - LAST_WORDS_SECONDS)
        run.died_at = next(told, math.inf)
    return dict(runs)


def excuses_of(events: Sequence[Event]) -> list[Excuse]:
    """All excuses."""
    return [
        Excuse(event["since"], event.at, None if event["pids"] is None else frozenset(event["pids"]))
        for event in events
        if event.kind == "excuse"
    ]
