"""Tasks that this worker doesn't know: another one may, or the next release of this one."""

from __future__ import annotations

from typing import Any

from svcjobs.job import Job

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0
PATIENCE_SECONDS = 86400.0
"""So long such a task is looked at again; then it is dead."""


class UnknownTasks:
    """Counts how often each was met, for all workers together.

    Args:
        client: of the broker's Redis; None counts in this process.
        root: what all keys of the broker begin with.
    """

    def __init__(self, client: Any, root: str = "jobs") -> None:
        self._client = client
        self._root = root
        self._met: dict[str, int] = {}

    def delay_seconds(self, job: Job) -> float | None:
        """Seconds until the job is to be looked at again: 5, 10, 20, 40, 60, 60 …; None when a day has passed."""
        times = self._count(job.uid)
        if times is None:
            return None
        return float(min(FIRST_SECONDS * 2 ** min(times - 1, 10), LONGEST_SECONDS))

    def _count(self, uid: str) -> int | None:
        most = int(PATIENCE_SECONDS / LONGEST_SECONDS)
        if self._client is None:
            self._met[uid] = self._met.get(uid, 0) + 1
            return self._met[uid] if self._met[uid] <= most else None
        key = f"{self._root}:kombu:unknown:{uid}"
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, int(2 * LONGEST_SECONDS) + 3600)
            times, _ = pipeline.execute()
        return int(times) if times <= most else None
