"""The account of live workers in Redis: what each is, and what it runs since when."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from svcjobs._redis import worker_calls
from svcjobs._redis.connections import is_cluster
from svcjobs._redis.link import Link
from svcjobs._redis.names import check_prefix
from svcjobs.clock import utc
from svcjobs.errors import JobsError, QueueUnavailable

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
STALE_SECONDS = 15.0
"""A worker that missed three beats may be dead."""
DESCRIBED_SECONDS = 60.0
"""How long a worker that stays the same only says so, before it describes itself again."""
REMEMBERED_SECONDS = 300
"""So long a worker that ended without saying so is still shown, as stale."""
MOST_WORKERS = 1000
MOST_RUNNING = 1000
"""Jobs of one worker that its heartbeat names."""


@dataclass(frozen=True, slots=True)
class RunningNow:
    """A job whose handler runs.

    Args:
        name: of the job.
        job_id: its id.
        queue: prefix of its queue.
        attempt: number of the attempt.
        started_at: since when.
        pid: the child that runs it.
    """

    name: str
    job_id: str
    queue: str
    attempt: int
    started_at: datetime
    pid: int


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker as its last heartbeat described it.

    Args:
        name: its own among all workers.
        host: where it runs.
        pid: its supervisor.
        queues: prefixes of its queues.
        pool: how it runs jobs.
        concurrency: how many at once, all children together.
        started_at: when it started.
        children: pids of its children, in order.
        running: what runs now.
        stopping: whether it takes no more jobs.
        beat_at: when it last gave a sign of life, by the server's clock.
        age_seconds: how long ago that was.
    """

    name: str
    host: str
    pid: int
    pool: str
    concurrency: int
    started_at: datetime
    queues: Sequence[str] = ()
    children: Sequence[int] = ()
    running: Sequence[RunningNow] = ()
    stopping: bool = False
    beat_at: datetime | None = None
    age_seconds: float = field(default=0.0)

    @property
    def is_stale(self) -> bool:
        """Whether it has been silent so long that it may be dead."""
        return self.age_seconds > STALE_SECONDS


class Heartbeats:
    """Writes and reads the account. It lies in the slot of the default queue, for all queues of its prefix.

    Args:
        client: any Redis client; own connections are derived from it.
        prefix: of the default queue.
        timeout_seconds: how long a call may take.

    Raises:
        ConfigurationError: the prefix can't be used.
    """

    def __init__(self, client: Any, *, prefix: str = "jobs", timeout_seconds: float = 2.0) -> None:
        self._prefix = check_prefix(prefix, cluster=is_cluster(client))
        self._link = Link(client, timeout_seconds)
        self._described: tuple[LiveWorker | None, float] = None, 0.0

    def beat(self, worker: LiveWorker) -> None:
        """The worker lives, and is as described.

        Raises:
            QueueUnavailable: the server didn't answer.
        """
        described, until = self._described
        if worker == described and time.monotonic() < until and self._is_still_known(worker.name):
            return
        self._described = None, 0.0
        self._link.run(worker_calls.beat(self._prefix, worker.name, _encode(worker), REMEMBERED_SECONDS))
        self._described = worker, time.monotonic() + DESCRIBED_SECONDS

    def _is_still_known(self, name: str) -> bool:
        try:
            return self._link.run(worker_calls.still(self._prefix, name))
        except QueueUnavailable:
            raise
        except JobsError:
            return False  # a full server takes the whole beat, which begins by removing

    def leave(self, name: str) -> None:
        """The worker has stopped; to be called once no other process can beat for it any more.

        Raises:
            QueueUnavailable: as :meth:`beat`; it is shown as stale then, and forgotten after five minutes.
        """
        self._link.run(worker_calls.leave(self._prefix, name))

    def workers(self) -> list[LiveWorker]:
        """All workers that beat in the last five minutes, the latest beat first.

        Raises:
            QueueUnavailable: as :meth:`beat`.
        """
        now, known = self._link.run(worker_calls.workers(self._prefix, MOST_WORKERS))
        workers = []
        for name, beat_at, state in known:
            try:
                workers.append(_decode(state, beat_at, max(0.0, now - beat_at)))
            except (ValueError, TypeError, KeyError) as error:
                logger.warning("The heartbeat of worker %s can't be read: %s", name, error)
        return workers

    def close(self) -> None:
        """Close the connections."""
        self._link.close()


def _encode(worker: LiveWorker) -> str:
    state = asdict(worker)
    del state["beat_at"], state["age_seconds"]
    state["running"] = state["running"][:MOST_RUNNING]
    return json.dumps(state, default=datetime.isoformat, separators=(",", ":"))


def _decode(text: str, beat_at: float, age_seconds: float) -> LiveWorker:
    state = json.loads(text)
    state["started_at"] = datetime.fromisoformat(state["started_at"])
    state["running"] = [
        RunningNow(**{**job, "started_at": datetime.fromisoformat(job["started_at"])}) for job in state["running"]
    ]
    return LiveWorker(**state, beat_at=utc(beat_at), age_seconds=age_seconds)
