"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

COUNTED_JOBS = 1000
"""Of the exact measures. Part of the baseline: the first calls and the growth of numbers are spread over so many."""
WEIGHED_JOBS = 1500
"""Behind 1024 keys, where the server's key table has doubled and is copied over, so its size stands still."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds, and jobs in each of them.

    ``idle_seconds``: a multiple of the 2 s for which our consumer blocks. ``limit_seconds``: after that no further step
    begins, so that a busy machine costs rounds and not time.
    """

    rounds: int
    idle_rounds: int
    single_jobs: int
    bulk_jobs: int
    idle_seconds: float
    pickups: int
    limit_seconds: float


FULL = Plan(
    rounds=5, idle_rounds=3, single_jobs=3000, bulk_jobs=20_000, idle_seconds=8, pickups=200, limit_seconds=1800
)
SHORT = Plan(rounds=2, idle_rounds=1, single_jobs=500, bulk_jobs=3000, idle_seconds=4, pickups=50, limit_seconds=45)
