"""``svcjobs worker`` on the native queue."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import redis

from benchmarks.contenders import Payload
from benchmarks.jobs import queue_names, server_url, work
from benchmarks.workload import BULK_SIZE, JOB_NAME
from svcjobs.job import Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.registry import JobRegistry

registry = JobRegistry()


@registry.handler(JOB_NAME)
def send_email(job: Job) -> None:
    """The job."""
    work(**job.payload)


class Native:
    """RedisJobQueue, and the worker program.

    Args:
        pool: what the worker is told of its pool.
        application: what it runs.
    """

    def __init__(self, *pool: str, application: str = f"{__name__}:registry") -> None:
        self._settings = ("-A", application, *pool)
        home = RedisJobQueue(redis.Redis.from_url(server_url()))
        self._names = queue_names()
        # one after the other, so that each gets an equal part
        self._queues = cycle([home.sibling(f"{home.name}:{{{name}}}") for name in self._names] or [home])

    def worker(self, number: int) -> Sequence[str]:
        return (
            "svcjobs", "worker", *self._settings, "-n", f"bench{number}",
            "--driver", "redis", "--redis-url", server_url(), "--visibility-timeout", "5", "-l", "error",
            *(("-Q", ",".join(self._names)) if self._names else ()),
        )  # fmt: skip

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            next(self._queues).enqueue(JOB_NAME, dict(payload))

    def enqueue_many(self, payloads: Sequence[Payload]) -> None:
        size = min(BULK_SIZE, -(-len(payloads) // max(1, len(self._names))))
        for start in range(0, len(payloads), size):
            jobs = [NewJob(JOB_NAME, dict(item)) for item in payloads[start : start + size]]
            next(self._queues).enqueue_many(jobs)


CONTENDER = Native("-P", "prefork", "-c", "1")
