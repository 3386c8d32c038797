"""Runs the jobs of a queue in an event loop until it is stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from svcjobs.application import Handler
from svcjobs.awaited_queue import AnyQueue
from svcjobs.errors import ConfigurationError
from svcjobs.pipeline import LONGEST_WAIT_SECONDS, Pipeline, RunningJob
from svcjobs.retry import is_number

if TYPE_CHECKING:
    from svcjobs.metrics import Metrics

__all__ = ["RunningJob", "WorkerRunner"]

SHORTEST_WAIT_SECONDS = 0.001


class WorkerRunner:
    """Runs jobs until it is stopped; the guide's section "Worker Runner".

    The leases of running jobs are extended at a third of ``visibility_timeout``: those of a sync queue by a
    thread, so that a handler may block the event loop; those of an asyncio queue in the loop. A handler whose
    lease is lost nevertheless is cancelled. A plain function runs in a thread, where it can't be stopped: after
    its time limit, or a stop, it runs on there and what it returns counts for nothing.

    While the queue can't be reached the runner tries again and again, and resumes within 5 s.

    Args:
        queue: any queue, also an :class:`~svcjobs.redis_queue.AsyncRedisJobQueue`. Several runners may share one.
        handler: gets each job; what it returns or raises settles it (see :mod:`svcjobs.execution`). Its time
            limit is JOB_DEFAULT_TIMEOUT_SECONDS.
        poll_interval: a runner that ran out of jobs looks again after this many seconds, and then after twice as
            many each time, up to every 2 s. A job that is enqueued, or falls due, wakes it at once.
        concurrency: how many handlers run at once.
        metrics: counts and times the jobs, when given.

    Raises:
        ConfigurationError: ``poll_interval`` is negative, or ``concurrency`` isn't a whole number from 1.
    """

    def __init__(
        self,
        queue: AnyQueue,
        handler: Handler,
        *,
        poll_interval: float = 0.5,
        concurrency: int = 1,
        metrics: Metrics | None = None,
    ) -> None:
        if not (is_number(poll_interval) and poll_interval >= 0):
            raise ConfigurationError(f"poll_interval is {poll_interval!r}: give a number of seconds")
        if type(concurrency) is not int or concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency!r}: give a whole number from 1")
        self._queue = queue
        self._handler = handler
        self._wait_seconds = min(max(poll_interval, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        self._concurrency = concurrency
        self._metrics = metrics
        self._pipeline: Pipeline | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> list[RunningJob]:
        """The jobs whose handlers run now, in the order of their start."""
        return self._pipeline.running if self._pipeline else []

    def start(self) -> asyncio.Task[None]:
        """Start in the running event loop; returns a task that ends when the runner has stopped.

        While it runs, the same task is returned again. Cancelling it is a stop without grace.
        """
        if self._task is None or self._task.done():
            self._pipeline = Pipeline(self._queue, self._handler, self._wait_seconds, self._concurrency, self._metrics)
            self._task = asyncio.create_task(self._pipeline.run(), name=f"svcjobs-runner-{self._queue.name}")
        return self._task

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Fetch no more, and return when no job runs any more.

        Jobs that still run after ``grace_seconds`` are cancelled and given back, with no attempt charged. A
        further call can only shorten the grace. Without a start there is nothing to do.
        """
        if self._pipeline is None or self._task is None:
            return
        self._pipeline.stop(grace_seconds)
        await asyncio.wait([self._task])
