"""The queue on Redis, for asyncio code: the methods of RedisJobQueue as coroutines."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Literal, TypeVar

from svcjobs._redis import calls, worker_calls
from svcjobs._redis.calls import Program
from svcjobs._redis.connections import check_client, home_db, is_cluster
from svcjobs._redis.link import AsyncLink
from svcjobs._redis.names import check_prefix
from svcjobs._redis.protocol import RedisProtocol
from svcjobs.clock import Clock
from svcjobs.effects import Effect
from svcjobs.errors import JobsError
from svcjobs.job import (
    DEFAULT_BACKOFF_SECONDS,
    DEFAULT_MAX_ATTEMPTS,
    MAX_PAYLOAD_BYTES,
    Job,
    NewJob,
    Place,
    Unique,
    as_ids,
)
from svcjobs.retry import RetryPolicy
from svcjobs.settlement import Ack, Bury, Fail, Outcome, Release, Settlement
from svcjobs.stats import QueueStats

T = TypeVar("T")


class AsyncRedisJobQueue:
    """As :class:`~svcjobs.redis_queue.RedisJobQueue`, its methods being coroutines.

    Args:
        client: any ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``; the rest as there.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "jobs",
        visibility_timeout: float = 60,
        timeout_seconds: float = 2.0,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        backoff_seconds: float = DEFAULT_BACKOFF_SECONDS,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        replicas: int = 0,
        clock: Clock | None = None,
    ) -> None:
        check_client(client, asynchronous=True)
        cluster = is_cluster(client)
        self._link = AsyncLink(client, timeout_seconds, replicas)
        self._protocol = RedisProtocol(
            check_prefix(prefix, cluster=cluster),
            visibility_timeout=visibility_timeout,
            max_attempts=max_attempts,
            backoff_seconds=backoff_seconds,
            max_payload_bytes=max_payload_bytes,
            clock=clock,
            cluster=cluster,
            home_db=cache(partial(home_db, client)),
        )

    @property
    def name(self) -> str:
        return self._protocol.prefix

    @property
    def visibility_timeout(self) -> float:
        return self._protocol.visibility_timeout

    @property
    def reconnects(self) -> int:
        """How often a connection of this queue failed and was opened anew."""
        return self._link.reconnects

    async def enqueue(
        self,
        name: str,
        payload: dict[str, Any] | None = None,
        *,
        delay_seconds: float = 0,
        max_attempts: int | None = None,
        backoff_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        job_id: str | None = None,
        unique: Unique | None = None,
        priority: int = 0,
        headers: dict[str, str] | None = None,
        soft_time_limit_seconds: float | None = None,
        time_limit_seconds: float | None = None,
    ) -> Job:
        new = NewJob(
            name, {} if payload is None else payload, delay_seconds, max_attempts, backoff_seconds, retry, job_id,
            unique, priority, headers, soft_time_limit_seconds, time_limit_seconds,
        )  # fmt: skip
        return (await self._drive(self._protocol.enqueue([new])))[0]

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Job]:
        return await self._drive(self._protocol.enqueue(jobs))

    async def reserve_next(self) -> Job | None:
        jobs = await self.reserve_many(1)
        if jobs[1:]:  # those of an earlier call for more, whose answer was lost
            await self.settle_many([Release(job, suspect=job.suspect) for job in jobs[1:]])
        return jobs[0] if jobs else None

    async def reserve_many(self, limit: int, *, verdicts: bool = False, lowest_first: bool = False) -> list[Job]:
        return await self._drive(self._protocol.reserve(limit, verdicts=verdicts, lowest_first=lowest_first))

    async def ack(self, job: Job | str, *, effects: Sequence[Effect] = ()) -> None:
        await self._settle_one(Ack(self._protocol.leased(job), effects))

    async def fail(
        self,
        job: Job | str,
        *,
        error: str | None = None,
        traceback: str | None = None,
        delay_seconds: float | None = None,
        effects: Sequence[Effect] = (),
    ) -> Outcome:
        return await self._settle_one(Fail(self._protocol.leased(job), error or "", traceback, delay_seconds, effects))

    async def bury(
        self,
        job: Job | str,
        *,
        reason: str,
        error: str | None = None,
        traceback: str | None = None,
        effects: Sequence[Effect] = (),
    ) -> None:
        await self._settle_one(Bury(self._protocol.leased(job), reason, error or "", traceback, effects))

    async def release(
        self, job: Job | str, *, delay_seconds: float = 0, charged: bool = False, suspect: bool = False
    ) -> None:
        await self._settle_one(Release(self._protocol.leased(job), delay_seconds, charged, suspect))

    async def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        return await self._drive(self._protocol.settle(settlements))

    async def _settle_one(self, settlement: Settlement) -> Outcome:
        return await self._drive(self._protocol.settle_one(settlement))

    async def extend(self, job: Job | str, *, seconds: float | None = None) -> Outcome:
        return await self._drive(self._protocol.extend_one(self._protocol.leased(job), seconds))

    async def extend_many(self, jobs: Sequence[Job], *, seconds: float | None = None) -> list[Outcome]:
        return await self._drive(self._protocol.extend(jobs, seconds))

    async def cancel(self, job_id: str) -> Outcome:
        return await self._drive(self._protocol.cancel(job_id))

    async def cancel_many(self, job_ids: Sequence[str]) -> list[Outcome | None]:
        return await self._drive(self._protocol.cancel_many(as_ids(job_ids)))

    async def promote(self, limit: int = 1000) -> int:
        return await self._drive(self._protocol.sweep("promote", limit))

    async def reclaim(self, limit: int = 1000) -> int:
        return await self._drive(self._protocol.sweep("reclaim", limit))

    async def wait(self, seconds: float) -> bool:
        left = min(seconds, self._protocol.next_due_at - time.monotonic())
        if left <= 0.001 or await self._link.block(f"{self.name}:wake", left):
            return False
        due = math.inf
        if await self._link.any_exists(self._protocol.work_keys):
            (due,) = await self._link.run(worker_calls.due([self.name], self._protocol.now()))
        self._protocol.next_due_at = time.monotonic() + due
        return due > 0

    async def get(self, job_id: str) -> Job | None:
        return await self._drive(self._protocol.get(job_id))

    async def stats(self) -> QueueStats:
        return await self._link.run(calls.stats(self.name, self._protocol.now()))

    async def pause(self) -> None:
        await self._link.run(calls.pause(self.name, self._protocol.now()))

    async def resume(self) -> None:
        await self._link.run(calls.resume(self.name))

    async def purge(self) -> int:
        return await self._drive(self._protocol.purge("ready", "delayed"))

    async def place(self, job_id: str) -> Place | None:
        return await self._link.run(calls.place(self.name, job_id))

    async def peek(self, place: Place, limit: int = 100, offset: int = 0) -> list[Job]:
        return await self._link.run(calls.read(self.name, place=place, offset=offset, limit=limit))

    async def dead(self, limit: int = 100, offset: int = 0, *, oldest_first: bool = False) -> list[Job]:
        place: Literal["oldest", "dead"] = "oldest" if oldest_first else "dead"
        return await self._link.run(calls.read(self.name, place=place, offset=offset, limit=limit))

    async def requeue(self, job_id: str) -> Job:
        return await self._drive(self._protocol.requeue(job_id))

    async def requeue_many(self, job_ids: Sequence[str]) -> list[bool]:
        return await self._drive(self._protocol.requeue_many(as_ids(job_ids)))

    async def requeue_all(self, limit: int | None = None) -> int:
        return await self._drive(self._protocol.requeue_all(limit))

    async def purge_dead(self, job_id: str | Sequence[str] | None = None) -> int:
        if job_id is None:
            return await self._drive(self._protocol.purge("dlq"))
        return await self._drive(self._protocol.purge_dead(as_ids(job_id)))

    async def relay_effects(self) -> int:
        """Carry out the effects that wait for another slot of a cluster; returns how many.

        Settlements and reserves do it by themselves; this is for a queue without workers.
        """
        return await self._drive(self._protocol.relay_effects())

    async def claim_tick(self, name: str, tick_at: float, job: NewJob | None = None) -> Job | None:
        return await self._drive(self._protocol.claim_tick(name, tick_at, job))

    async def last_tick(self, name: str) -> float | None:
        return await self._link.run(calls.last_tick(self.name, name))

    async def close(self) -> None:
        await self._link.close()

    async def _drive(self, program: Program[T]) -> T:
        try:
            call = next(program)
            while True:
                try:
                    reply = await self._link.run(call)
                except JobsError as error:
                    call = program.throw(error)
                else:
                    call = program.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            program.close()
