"""The queue on Redis, for sync code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache, partial
from typing import Any, Literal, TypeVar

from svcjobs._redis import calls, worker_calls
from svcjobs._redis.calls import Program, Request
from svcjobs._redis.connections import check_client, home_db, is_cluster
from svcjobs._redis.link import Link
from svcjobs._redis.names import check_prefix
from svcjobs._redis.protocol import RedisProtocol
from svcjobs.async_redis_queue import AsyncRedisJobQueue
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

__all__ = ["AsyncRedisJobQueue", "RedisJobQueue"]

T = TypeVar("T")


class RedisJobQueue:
    """A :class:`~svcjobs.queue.JobQueue` on Redis 6.2 or Valkey 7.2, or later; keys as the guide lists them.

    Args:
        client: any ``redis.Redis`` or ``RedisCluster``. It tells server and credentials; the queue opens
            connections of its own, with the first call.
        prefix: of all keys; the queue's name. On a cluster it needs a hash tag, such as ``{jobs}``.
        visibility_timeout: how long a lease lasts, in seconds.
        timeout_seconds: how long a call may take, tries and pauses included, before QueueUnavailable.
        max_attempts: default of the jobs enqueued here.
        backoff_seconds: default of the jobs enqueued here.
        max_payload_bytes: encoded payloads over this are refused.
        replicas: ``enqueue`` and ``enqueue_many`` return once so many replicas have the jobs, and raise TooFewReplicas
            when they don't within ``timeout_seconds``. With all replicas asked for, no fail-over loses a job. Not on
            a cluster.
        clock: tests pass one; None uses the server's time.

    Raises:
        ConfigurationError: the client, the prefix or ``replicas`` can't be used.
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
        check_client(client, asynchronous=False)
        cluster = is_cluster(client)
        self._link = Link(client, timeout_seconds, replicas)
        self._new_protocol = partial(
            RedisProtocol,
            visibility_timeout=visibility_timeout,
            max_attempts=max_attempts,
            backoff_seconds=backoff_seconds,
            max_payload_bytes=max_payload_bytes,
            clock=clock,
            cluster=cluster,
            home_db=cache(partial(home_db, client)),
        )
        self._protocol = self._new_protocol(check_prefix(prefix, cluster=cluster))
        self._cluster = cluster

    def sibling(self, prefix: str) -> RedisJobQueue:
        """The queue with another prefix, with the settings and the connections of this one.

        Raises:
            ConfigurationError: the prefix can't be used.
        """
        twin = copy(self)
        twin._protocol = self._new_protocol(check_prefix(prefix, cluster=self._cluster))  # noqa: SLF001
        return twin

    @property
    def name(self) -> str:
        return self._protocol.prefix

    @property
    def visibility_timeout(self) -> float:
        return self._protocol.visibility_timeout

    @property
    def next_due_at(self) -> float:
        """When a job waits for its time or a lease runs out next, by the last reserve; of ``time.monotonic()``."""
        return self._protocol.next_due_at

    @property
    def reconnects(self) -> int:
        """How often a connection of this queue failed and was opened anew."""
        return self._link.reconnects

    def enqueue(
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
        return self._drive(self._protocol.enqueue([new]))[0]

    def enqueue_many(self, jobs: Sequence[NewJob], *, request: tuple[str, int] | None = None) -> list[Job]:
        """See :meth:`svcjobs.queue.JobQueue.enqueue_many`.

        Args:
            jobs: what to store.
            request: :attr:`~svcjobs.errors.QueueUnavailable.request` of the same call, by this object or another one
                for the queue, when it is made again within two minutes: if the server carried the first one out
                unheard, or will, nothing is stored twice. For 500 jobs at most.
        """
        return self._drive(self._protocol.enqueue(jobs, request))

    def reserve_next(self) -> Job | None:
        jobs = self.reserve_many(1)
        if jobs[1:]:  # those of an earlier call for more, whose answer was lost
            self.settle_many([Release(job, suspect=job.suspect) for job in jobs[1:]])
        return jobs[0] if jobs else None

    def reserve_many(self, limit: int, *, verdicts: bool = False, lowest_first: bool = False) -> list[Job]:
        return self._drive(self._protocol.reserve(limit, verdicts=verdicts, lowest_first=lowest_first))

    def announce_reserves(self, announce: Callable[[Request], object]) -> None:
        """Let ``announce`` know the request of each reserve before it is made, see :meth:`unheard`."""
        self._protocol.announce = announce

    def unheard(self, request: Request) -> list[Job]:
        """What a process leased with its last reserve, though it died before it heard of it; as far as still leased.

        The call is that reserve, made again: where the server hasn't done it yet, it never will.

        Args:
            request: as :meth:`announce_reserves` told it.

        Raises:
            QueueUnavailable: the server didn't answer.
        """
        return self._drive(self._protocol.unheard(request))

    def ack(self, job: Job | str, *, effects: Sequence[Effect] = ()) -> None:
        self._settle_one(Ack(self._protocol.leased(job), effects))

    def fail(
        self,
        job: Job | str,
        *,
        error: str | None = None,
        traceback: str | None = None,
        delay_seconds: float | None = None,
        effects: Sequence[Effect] = (),
    ) -> Outcome:
        return self._settle_one(Fail(self._protocol.leased(job), error or "", traceback, delay_seconds, effects))

    def bury(
        self,
        job: Job | str,
        *,
        reason: str,
        error: str | None = None,
        traceback: str | None = None,
        effects: Sequence[Effect] = (),
    ) -> None:
        self._settle_one(Bury(self._protocol.leased(job), reason, error or "", traceback, effects))

    def release(
        self, job: Job | str, *, delay_seconds: float = 0, charged: bool = False, suspect: bool = False
    ) -> None:
        self._settle_one(Release(self._protocol.leased(job), delay_seconds, charged, suspect))

    def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        return self._drive(self._protocol.settle(settlements))

    def _settle_one(self, settlement: Settlement) -> Outcome:
        return self._drive(self._protocol.settle_one(settlement))

    def extend(self, job: Job | str, *, seconds: float | None = None) -> Outcome:
        return self._drive(self._protocol.extend_one(self._protocol.leased(job), seconds))

    def extend_many(self, jobs: Sequence[Job], *, seconds: float | None = None) -> list[Outcome]:
        return self._drive(self._protocol.extend(jobs, seconds))

    def cancel(self, job_id: str) -> Outcome:
        return self._drive(self._protocol.cancel(job_id))

    def cancel_many(self, job_ids: Sequence[str]) -> list[Outcome | None]:
        return self._drive(self._protocol.cancel_many(as_ids(job_ids)))

    def promote(self, limit: int = 1000) -> int:
        return self._drive(self._protocol.sweep("promote", limit))

    def reclaim(self, limit: int = 1000) -> int:
        return self._drive(self._protocol.sweep("reclaim", limit))

    def wait(self, seconds: float) -> bool:
        left = min(seconds, self._protocol.next_due_at - time.monotonic())
        if left <= 0.001 or self._link.block([f"{self.name}:wake"], left):
            return False
        (due,) = self.seconds_to_due([self])
        self._protocol.next_due_at = time.monotonic() + due
        return due > 0

    def is_beside(self, other: object) -> bool:
        """Whether one call can serve both: on the same server, which is no cluster, over the same connections."""
        return isinstance(other, RedisJobQueue) and other._link is self._link and not self._cluster  # noqa: SLF001

    def wait_any(self, queues: Sequence[RedisJobQueue], seconds: float) -> RedisJobQueue | None:
        """As :meth:`wait`, for several queues beside this one, whatever is due; the one that got a job, or None.

        Raises:
            QueueUnavailable: the server didn't answer.
        """
        keys = {f"{queue.name}:wake": queue for queue in queues}
        found = self._link.block(list(keys), seconds)
        return keys[found] if found else None

    def seconds_to_due(self, queues: Sequence[RedisJobQueue]) -> list[float]:
        """How long until a reserve finds something in each of these, beside this one: 0 is now, infinity unknown.

        Raises:
            QueueUnavailable: it didn't succeed in time.
        """
        if not self._link.any_exists([key for queue in queues for key in queue._protocol.work_keys]):  # noqa: SLF001
            return [math.inf] * len(queues)
        return self._link.run(worker_calls.due([queue.name for queue in queues], self._protocol.now()))

    def get(self, job_id: str) -> Job | None:
        return self._drive(self._protocol.get(job_id))

    def stats(self) -> QueueStats:
        return self._link.run(calls.stats(self.name, self._protocol.now()))

    def pause(self) -> None:
        self._link.run(calls.pause(self.name, self._protocol.now()))

    def resume(self) -> None:
        self._link.run(calls.resume(self.name))

    def purge(self) -> int:
        return self._drive(self._protocol.purge("ready", "delayed"))

    def place(self, job_id: str) -> Place | None:
        return self._link.run(calls.place(self.name, job_id))

    def peek(self, place: Place, limit: int = 100, offset: int = 0) -> list[Job]:
        return self._link.run(calls.read(self.name, place=place, offset=offset, limit=limit))

    def dead(self, limit: int = 100, offset: int = 0, *, oldest_first: bool = False) -> list[Job]:
        place: Literal["oldest", "dead"] = "oldest" if oldest_first else "dead"
        return self._link.run(calls.read(self.name, place=place, offset=offset, limit=limit))

    def requeue(self, job_id: str) -> Job:
        return self._drive(self._protocol.requeue(job_id))

    def requeue_many(self, job_ids: Sequence[str]) -> list[bool]:
        return self._drive(self._protocol.requeue_many(as_ids(job_ids)))

    def requeue_all(self, limit: int | None = None) -> int:
        return self._drive(self._protocol.requeue_all(limit))

    def purge_dead(self, job_id: str | Sequence[str] | None = None) -> int:
        if job_id is None:
            return self._drive(self._protocol.purge("dlq"))
        return self._drive(self._protocol.purge_dead(as_ids(job_id)))

    def relay_effects(self) -> int:
        """Carry out the effects that wait for another slot of a cluster; returns how many.

        Settlements and reserves do it by themselves; this is for a queue without workers.
        """
        return self._drive(self._protocol.relay_effects())

    def claim_tick(self, name: str, tick_at: float, job: NewJob | None = None) -> Job | None:
        return self._drive(self._protocol.claim_tick(name, tick_at, job))

    def last_tick(self, name: str) -> float | None:
        return self._link.run(calls.last_tick(self.name, name))

    def close(self) -> None:
        self._link.close()

    def _drive(self, program: Program[T]) -> T:
        try:
            call = next(program)
            while True:
                try:
                    reply = self._link.run(call)
                except JobsError as error:
                    call = program.throw(error)
                else:
                    call = program.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            program.close()
