"""Our queue, from asyncio code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import redis.asyncio

from benchmarks.workload import BATCH_SIZE, BULK_SIZE, JOB_NAME, PAYLOAD
from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.job import NewJob
from svcjobs.settlement import Ack


class NativeAsync:
    """AsyncRedisJobQueue in one task: what a single coroutine gets done, without concurrency to hide round trips."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._client = redis.asyncio.Redis.from_url(url)
        self._queue = AsyncRedisJobQueue(self._client)
        self._payload = dict(PAYLOAD)

    def enqueue(self, jobs: int) -> None:
        self._runner.run(self._enqueue(jobs))

    def enqueue_many(self, jobs: int) -> None:
        self._runner.run(self._enqueue_many(jobs))

    def drain(self, jobs: int) -> None:
        self._runner.run(self._drain(jobs))

    def drain_batches(self, jobs: int) -> None:
        self._runner.run(self._drain_batches(jobs))

    def put(self, payload: dict[str, Any]) -> None:
        self._runner.run(self._put(payload))

    def consume(self, handle: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        self._runner.run(self._consume(handle, seconds))

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _enqueue(self, jobs: int) -> None:
        for _ in range(jobs):
            await self._queue.enqueue(JOB_NAME, self._payload)

    async def _enqueue_many(self, jobs: int) -> None:
        for start in range(0, jobs, BULK_SIZE):
            size = min(BULK_SIZE, jobs - start)
            await self._queue.enqueue_many([NewJob(JOB_NAME, self._payload) for _ in range(size)])

    async def _drain(self, jobs: int) -> None:
        for _ in range(jobs):
            job = await self._queue.reserve_next()
            assert job is not None
            await self._queue.ack(job)

    async def _drain_batches(self, jobs: int) -> None:
        for start in range(0, jobs, BATCH_SIZE):
            batch = await self._queue.reserve_many(min(BATCH_SIZE, jobs - start))
            assert len(batch) == min(BATCH_SIZE, jobs - start)
            await self._queue.settle_many([Ack(job) for job in batch])

    async def _put(self, payload: dict[str, Any]) -> None:
        await self._queue.enqueue(JOB_NAME, payload)

    async def _consume(self, handle: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        more = True
        while more and (left := deadline - time.monotonic()) > 0:
            job = await self._queue.reserve_next()
            if job is None:
                await self._queue.wait(left)
                continue
            more = handle(job.payload)
            await self._queue.ack(job)

    async def _close(self) -> None:
        await self._queue.close()
        await self._client.aclose()
