"""Our queue, from sync code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.workload import BATCH_SIZE, BULK_SIZE, JOB_NAME, PAYLOAD
from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack


class NativeSync:
    """RedisJobQueue as an application uses it: leases, fencing and request ids on."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._queue = RedisJobQueue(self._client)
        self._payload = dict(PAYLOAD)

    def enqueue(self, jobs: int) -> None:
        for _ in range(jobs):
            self._queue.enqueue(JOB_NAME, self._payload)

    def enqueue_many(self, jobs: int) -> None:
        for start in range(0, jobs, BULK_SIZE):
            size = min(BULK_SIZE, jobs - start)
            self._queue.enqueue_many([NewJob(JOB_NAME, self._payload) for _ in range(size)])

    def drain(self, jobs: int) -> None:
        for _ in range(jobs):
            job = self._queue.reserve_next()
            assert job is not None
            self._queue.ack(job)

    def drain_batches(self, jobs: int) -> None:
        for start in range(0, jobs, BATCH_SIZE):
            batch = self._queue.reserve_many(min(BATCH_SIZE, jobs - start))
            assert len(batch) == min(BATCH_SIZE, jobs - start)
            self._queue.settle_many([Ack(job) for job in batch])

    def put(self, payload: dict[str, Any]) -> None:
        self._queue.enqueue(JOB_NAME, payload)

    def consume(self, handle: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        more = True
        while more and (left := deadline - time.monotonic()) > 0:
            job = self._queue.reserve_next()
            if job is None:
                self._queue.wait(left)
                continue
            more = handle(job.payload)
            self._queue.ack(job)

    def close(self) -> None:
        self._queue.close()
        self._client.close()
