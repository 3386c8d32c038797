"""When a child has served its time and another one takes its place."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

LOOK_EVERY_SECONDS = 0.25


@dataclass(slots=True)
class Recycling:
    """The limits of one child; None is without. They end no job: the child fetches no more and runs what it has.

    Args:
        max_jobs: how many jobs it starts.
        max_memory_kib: resident memory, looked at between jobs.
        max_age_seconds: from now on.
    """

    max_jobs: int | None = None
    max_memory_kib: int | None = None
    max_age_seconds: float | None = None
    _born: float = field(default_factory=time.monotonic)
    _looked_at: float = 0.0

    def due(self, jobs: int) -> str | None:
        """Why the child is to end now, after ``jobs`` jobs; None to go on. Each child does one at least."""
        if not jobs:
            return None  # a limit that it exceeds when it is born would let no job run, in any child
        now = time.monotonic()
        if self.max_jobs is not None and jobs >= self.max_jobs:
            return f"{jobs} jobs"
        if self.max_age_seconds is not None and now - self._born >= self.max_age_seconds:
            return f"{now - self._born:.0f} s of age"
        if self.max_memory_kib is None or now - self._looked_at < LOOK_EVERY_SECONDS:
            return None
        self._looked_at = now
        used = resident_kib()
        return f"{used} KiB of memory" if used >= self.max_memory_kib else None


def resident_kib() -> int:
    """Resident memory of this process in KiB; its peak where the system doesn't tell the present amount."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
