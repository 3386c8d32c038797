"""Queues with their own worker programs, one a module: ``CONTENDER`` there satisfies :class:`WorkedQueue`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

Payload = Mapping[str, str | int]
"""The arguments of benchmarks.jobs.work."""


class WorkedQueue(Protocol):
    """Works on the server that benchmarks.jobs.server_url names."""

    def worker(self, number: int) -> Sequence[str]:
        """The arguments, behind ``python -m``, of one worker process. ``number`` tells several ones apart."""
        ...

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        """Store jobs, each by a call of its own."""
        ...

    def enqueue_many(self, payloads: Sequence[Payload]) -> None:
        """Store jobs by the fastest call that there is for many."""
        ...


class ResultQueue(WorkedQueue, Protocol):
    """One that gives results back."""

    def enqueue_kept(self, payloads: Sequence[Payload]) -> None:
        """Store jobs whose results are kept, by the fastest call that there is for many."""
        ...

    def call(self, payloads: Sequence[Payload]) -> None:
        """Store jobs, each by a call of its own, then get the result of each."""
        ...

    def chord(self, payloads: Sequence[Payload]) -> None:
        """Run jobs, and one more when all of them are done; get its result."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender in the tables.

    Args:
        module: its module below this package.
        package: the distribution that it measures.
        setting: how it is run, in a few words: the best of those that its documentation offers.
        jobs: how many it gets to drain in a full round: a second of work, or two.
        results: it is a :class:`ResultQueue`.
        requirement: what pip installs, words with spaces in between, into an environment of the contender's own; None
            where it is at home in ours.
        stores: whether its way of storing jobs is one of its own.
    """

    module: str
    package: str
    setting: str
    jobs: int
    results: bool = False
    requirement: str | None = None
    stores: bool = True


WORKED = MappingProxyType(
    {
        "svcjobs worker": Entry("native", "svcjobs", "prefork, 1 child", 20_000),
        "svcjobs threads": Entry("native_threads", "svcjobs", "8 threads", 20_000, stores=False),
        "svcjobs async": Entry("native_async", "svcjobs", "100 coroutines", 20_000, stores=False),
        "svcjobs facade": Entry("facade", "svcjobs", "prefork, 1 child", 8000, results=True),
        "Celery on svcjobs": Entry("celery_svcjobs", "celery", "solo, acks_late, prefetch 128", 2000, results=True),
        "Celery on redis": Entry("celery_redis", "celery", "solo, acks_late, prefetch 128", 2000, results=True),
        "RQ": Entry("rq", "rq", "SimpleWorker, no results", 1000, requirement="rq>=2"),
        "Dramatiq": Entry("dramatiq", "dramatiq", "8 threads, prefetch 256", 6000, requirement="dramatiq[redis]>=1.17"),
        "Huey": Entry("huey", "huey", "1 thread, no results", 6000, requirement="huey[redis]>=2.5"),
        "arq": Entry("arq", "arq", "max_jobs 100, no results", 2000, requirement="arq>=0.26"),
        "SAQ": Entry(
            "saq", "saq", "concurrency 100, no results", 2000, requirement="saq[hiredis,redis]>=0.20 typing_extensions"
        ),
        "Taskiq": Entry(
            "taskiq", "taskiq-redis", "redis-stream, 100 tasks, no results", 3000, requirement="taskiq-redis>=1"
        ),
        "streaq": Entry("streaq", "streaq", "concurrency 100, no results", 3000, requirement="streaq>=5"),
    }
)
"""In the order of the tables."""


def open_queue(name: str) -> WorkedQueue:
    """The contender of this name."""
    queue: WorkedQueue = importlib.import_module(f"{__name__}.{WORKED[name].module}").CONTENDER
    return queue
