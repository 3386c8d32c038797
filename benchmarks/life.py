"""The whole life of jobs in a queue in which others lie: stored, reserved, finished; one by one and in batches."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.measure import MICRO
from benchmarks.server import ServerMeter
from benchmarks.workload import BATCH_SIZE, BULK_SIZE, JOB_NAME, PAYLOAD
from svcjobs.job import Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack

FAR_SECONDS = 86_400.0
"""Delays of what isn't to become due."""


class Ground:
    """A queue in which jobs lie, and jobs that live beside them.

    Args:
        queue: without jobs at first.
        meter: of its server.
        payload: of the jobs that live.
        shuffled: finishes any of the jobs in flight; else the one that was reserved first.
    """

    def __init__(
        self,
        queue: RedisJobQueue,
        meter: ServerMeter,
        payload: Mapping[str, Any] = PAYLOAD,
        *,
        shuffled: bool = False,
    ) -> None:
        self._queue = queue
        self._meter = meter
        self._payload = dict(payload)
        self._shuffled = shuffled
        self._draw = random.Random(7)
        self._held: deque[Job] = deque()

    def queued(self, jobs: int) -> None:
        """Let so many more jobs wait."""
        self._store(jobs, 0)

    def delayed(self, jobs: int) -> None:
        """Let so many more jobs lie that aren't due for a day."""
        self._store(jobs, FAR_SECONDS)

    def in_flight(self, jobs: int) -> None:
        """Let so many more jobs be reserved."""
        self._store(jobs, 0)
        while jobs > 0:
            taken = self._queue.reserve_many(min(BULK_SIZE, jobs))
            self._held += taken
            jobs -= len(taken)

    def live(self, jobs: int) -> dict[str, float]:
        """Rates and CPU times of so many jobs, one by one and in batches."""
        batches = max(1, jobs // BATCH_SIZE)
        single = self._timed(self._one, jobs, 1)
        batch = self._timed(self._batch, batches, BATCH_SIZE)
        return single | {f"batch_{name}": value for name, value in batch.items()}

    def _timed(self, live: Callable[[], None], times: int, jobs: int) -> dict[str, float]:
        live()  # scripts and connections are there
        before, cpu, started = self._meter.read(), time.process_time(), time.perf_counter()
        for _ in range(times):
            live()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        redis_cpu, lived = self._meter.since(before).cpu_seconds, times * jobs
        return {
            "rate": lived / seconds,
            "client_cpu": cpu / lived * MICRO,
            "redis_cpu": redis_cpu / lived * MICRO,
        }

    def _one(self) -> None:
        self._queue.enqueue(JOB_NAME, self._payload)
        job = self._queue.reserve_next()
        assert job is not None
        (job,) = self._swap([job])
        self._queue.ack(job)

    def _batch(self) -> None:
        self._queue.enqueue_many([NewJob(JOB_NAME, self._payload)] * BATCH_SIZE)
        jobs = self._queue.reserve_many(BATCH_SIZE)
        assert len(jobs) == BATCH_SIZE
        self._queue.settle_many([Ack(job) for job in self._swap(jobs)])

    def _swap(self, jobs: Sequence[Job]) -> list[Job]:
        """As many jobs that are in flight, and these in their place."""
        taken = []
        for job in jobs:
            self._held.append(job)
            if self._shuffled:
                at = self._draw.randrange(len(self._held))
                self._held[0], self._held[at] = self._held[at], self._held[0]
            taken.append(self._held.popleft())
        return taken

    def _store(self, jobs: int, delay_seconds: float) -> None:
        for start in range(0, jobs, BULK_SIZE):
            size = min(BULK_SIZE, jobs - start)
            self._queue.enqueue_many([NewJob(JOB_NAME, dict(PAYLOAD), delay_seconds=delay_seconds)] * size)
