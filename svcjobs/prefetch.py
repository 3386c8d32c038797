"""How many jobs a child may hold beyond those that run (promise P7)."""

from __future__ import annotations

from svcjobs.reports import MOST_JOBS

AHEAD_SECONDS = 0.02
"""Work that is held ahead: enough to cover a round trip to the server."""
OVERRUN_SECONDS = 0.05
"""When no slot has come free for so long, what waits for one is given back."""
_DECAY = 0.9


class Prefetch:
    """Follows how long jobs run, and derives how many may wait in the child.

    A longer run counts at once (halfway), shorter ones gradually: after a long job it takes many short ones until
    any are held ahead again. Before the first job has ended nothing is held ahead.

    Args:
        most_jobs: held at once at most, running ones included.
    """

    def __init__(self, most_jobs: int = MOST_JOBS) -> None:
        self._most_jobs = most_jobs
        self._seconds: float | None = None

    def ended(self, seconds: float) -> None:
        """A job ran for ``seconds``."""
        if self._seconds is None:
            self._seconds = seconds
        elif seconds > self._seconds:
            self._seconds = (self._seconds + seconds) / 2
        else:
            self._seconds = _DECAY * self._seconds + (1 - _DECAY) * seconds

    def overran(self) -> None:
        """Jobs had to be given back: hold none ahead until short runs show that it would pay."""
        self._seconds = max(self._seconds or 0.0, OVERRUN_SECONDS)

    @property
    def ahead(self) -> int:
        """How many jobs may wait beyond the free slots: one slot's work of 20 ms, none when a job takes longer."""
        if self._seconds is None or self._seconds > AHEAD_SECONDS:
            return 0
        return int(min(AHEAD_SECONDS / max(self._seconds, 1e-6), self._most_jobs))

    def room(self, concurrency: int, running: int, waiting: int, unsettled: int = 0) -> int:
        """How many jobs to fetch now.

        Args:
            concurrency: how many jobs run at once.
            running: jobs whose handlers run.
            waiting: jobs in the child that no slot has taken yet.
            unsettled: jobs that have ended and aren't settled yet; they are held too.
        """
        wanted = concurrency - running - waiting + self.ahead
        # half of what is held ahead has to be gone before it pays to ask for more
        if waiting and 2 * waiting > self.ahead:
            return 0
        return max(0, min(wanted, self._most_jobs - running - waiting - unsettled))
