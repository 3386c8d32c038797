"""The verbs a worker needs, awaitable, whether the queue is a sync or an asyncio one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from svcjobs.job import Job
from svcjobs.queue import JobQueue
from svcjobs.settlement import Outcome, Release, Settlement
from svcjobs.threads import Threads, is_async

if TYPE_CHECKING:
    from svcjobs.async_redis_queue import AsyncRedisJobQueue

AnyQueue: TypeAlias = "JobQueue | AsyncRedisJobQueue"


class AwaitedQueue:
    """A queue whose calls don't block the event loop: those of a sync queue run in three threads, see ADR 037."""

    def __init__(self, queue: AnyQueue, threads: Threads) -> None:
        self._queue: Any = queue
        self._threads = threads
        self.is_async = is_async(queue.reserve_many)

    async def reserve_many(self, limit: int) -> list[Job]:
        """Jobs to run, and jobs with a verdict. A cancelled caller leaves none leased: they are given back."""
        reserve = functools.partial(self._queue.reserve_many, limit, verdicts=True)
        if not self.is_async:
            return await self._threads.call(reserve, unclaimed=self._give_back)
        reserving = asyncio.ensure_future(reserve())
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            await self._queue.settle_many([Release(job, suspect=job.suspect) for job in await reserving])
            raise

    async def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        outcomes: list[Outcome] = await self._call(self._queue.settle_many, settlements)
        return outcomes

    async def extend_many(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = await self._call(self._queue.extend_many, jobs)
        return outcomes

    async def wait(self, seconds: float) -> bool:
        """As the queue's. What a cancelled caller's thread is still given goes on to another worker."""
        wait = functools.partial(self._queue.wait, seconds)
        in_vain: bool = await (wait() if self.is_async else self._threads.call(wait, unclaimed=self._pass_on))
        return in_vain

    async def _call(self, verb: Any, *args: Any) -> Any:
        return await self._threads.run(functools.partial(verb, *args), like=verb)

    def _pass_on(self, _in_vain: bool) -> None:
        self._give_back(self._queue.reserve_many(0, verdicts=True))

    def _give_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._queue.settle_many([Release(job, suspect=job.suspect) for job in jobs])
