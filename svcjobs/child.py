"""A worker process from the import of its application to its exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING

from svcjobs.application import Application
from svcjobs.census import ONE_STOP_SECONDS, ChildPipes
from svcjobs.consumer import Consumer
from svcjobs.hooks import Hooks, hook
from svcjobs.journal import Journal
from svcjobs.keeping import KeeperLink, Keeping, OwnLeases
from svcjobs.limits import Limits
from svcjobs.pools.choice import make_pool
from svcjobs.pools.pool import Pool
from svcjobs.queue import JobQueue
from svcjobs.recycling import Recycling
from svcjobs.tracing import export_spans

if TYPE_CHECKING:
    from svcjobs.metrics import Metrics

logger = logging.getLogger(__name__)

LEFT_SECONDS = 1.0
"""How long the main thread may stay in a handler that was given up, before the process just ends."""
LATE_SECONDS = 6.0
"""How long after the grace a process may take for its last settlements and its hooks; a supervisor waits for 7 s."""
OBJECTS_IN_HAND = 30_000
"""About so many belong to the jobs of one batch, and go with them: a collection that met them would free none."""


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """What a child does, as plain values that can be made before the fork.

    Args:
        pool: name of the pool, see :data:`svcjobs.pools.choice.POOLS`.
        concurrency: jobs at once in this process; ``prefork`` and ``solo`` run one.
        grace_seconds: how long running jobs may go on after SIGTERM.
        limits: time limits of the jobs.
        recycling: when the process makes place for another.
        metrics: whether to count and time jobs; the keeper shows the sum over all children.
    """

    pool: str = "async"
    concurrency: int = 10
    grace_seconds: float = 25.0
    limits: Limits = field(default_factory=Limits)
    recycling: Recycling = field(default_factory=Recycling)
    metrics: bool = False


@dataclass(frozen=True, slots=True)
class Workplace:
    """The process that an application runs in, as it is told to its hook ``joined``, see :mod:`svcjobs.hooks`.

    Args:
        plan: the pool, its concurrency, and the limits.
        pool: runs the jobs; ``pool.slots.running`` are those that run now.
        consumer: fetches and settles them.
    """

    plan: ChildPlan
    pool: Pool
    consumer: Consumer


def run_child(
    load_application: Callable[[], Application],
    open_queues: Callable[[Application], Sequence[JobQueue]],
    plan: ChildPlan,
    pipes: ChildPipes | None = None,
    open_journal: Callable[[], Journal] | None = None,
) -> int:
    """Run jobs from the main thread of this process, until SIGTERM or until it is due for recycling.

    On SIGTERM it fetches no more, gives back what it hasn't begun, and finishes what runs within the grace; the rest
    is given back, uncharged. A second SIGTERM, a second later or more, ends the grace at once. On SIGHUP, which a
    supervisor sends to a child that isn't needed any more, it finishes what it has, however long that takes.

    Args:
        load_application: imports the application. Called here, after the fork.
        open_queues: the queues to serve, the most important first, on connections of their own.
        plan: the rest.
        pipes: to the keeper. Without, the process is alone: it extends its leases itself, and heeds SIGINT too.
        open_journal: keeps what jobs report, on connections of its own; without, nothing does.

    Returns:
        0: after a stop, and when another process is to take its place.

    Raises:
        ConfigurationError: the application can't be loaded, or the pool can't enforce a limit.
        Exception: whatever a start-up or shut-down hook raised.
    """
    plan.limits.check_pool(plan.pool)
    application = load_application()
    soft_error = hook(application, "soft_limit_error") or plan.limits.soft_error
    pool = make_pool(plan.pool, plan.concurrency, replace(plan.limits, soft_error=soft_error))
    queues = open_queues(application)
    journal = pool.slots.reporting = open_journal() if open_journal is not None else None
    metrics = _metrics(application, queues) if plan.metrics else None
    hooks = Hooks(application)
    consumer = Consumer(queues, pool, _keeping(queues, pipes, metrics), plan.recycling, metrics, hooks)
    pool.ended = consumer.ended
    if pipes is not None:
        pipes.running.begin()
        pool.slots.table = pipes.running
    stops: queue.SimpleQueue[float] = queue.SimpleQueue()
    _heed_signals(consumer, plan.grace_seconds, stops, alone=pipes is None)
    leave_in_time(stops, lambda: consumer.holds_jobs)
    hooks.joined(Workplace(plan, pool, consumer))
    consuming = threading.Thread(
        target=_consume, args=[consumer, pool, functools.partial(stops.put, plan.grace_seconds)], name="svcjobs-io",
        daemon=True,
    )  # fmt: skip

    def begin() -> None:
        # what the application is made of stays as long as the process: no collection needs to look through it
        gc.collect()
        gc.freeze()
        threshold, *_ = gc.get_threshold()
        if 0 < threshold < OBJECTS_IN_HAND:
            gc.set_threshold(OBJECTS_IN_HAND)
        consuming.start()

    try:
        pool.run(application, begin)
    finally:
        if journal is not None:
            journal.close()
        for job_queue in queues:
            job_queue.close()
        export_spans()  # after the shut-down hooks, which may make some
    return 0


def _metrics(application: Application, queues: Sequence[JobQueue]) -> Metrics:
    from svcjobs.metrics import Metrics

    metrics = Metrics(application.metric_prefix)
    for job_queue in queues:
        metrics.watch(job_queue)
    return metrics


def _keeping(queues: Sequence[JobQueue], pipes: ChildPipes | None, metrics: Metrics | None) -> Keeping:
    if pipes is None:
        return OwnLeases(queues)
    tallies = tuple if metrics is None else functools.partial(metrics.tallies, os.getpid())
    return KeeperLink(queues, pipes, tallies)


def _heed_signals(consumer: Consumer, grace_seconds: float, stops: queue.SimpleQueue[float], *, alone: bool) -> None:
    stopped_at = math.inf

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped_at
        now = time.monotonic()
        if not alone and stopped_at <= now < stopped_at + ONE_STOP_SECONDS:
            return
        stopped_at = min(stopped_at, now)
        grace = 0 if consumer.stopping else grace_seconds
        consumer.stop(grace)
        stops.put(grace)

    def retire(_number: int, _frame: FrameType | None) -> None:
        consumer.retire()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT if alone else signal.SIGHUP, stop if alone else retire)


def leave_in_time(stops: queue.SimpleQueue[float], holds_jobs: Callable[[], bool]) -> None:
    """End the process some seconds after the grace, whatever still waits for an absent server or for a hook.

    A thread does it, which tells what every other one is at: that is what hangs.

    Args:
        stops: gets the grace in seconds when the process is told to stop. Safe to use in a signal handler.
        holds_jobs: whether some will have to be delivered again; the exit code is 1 then, else 0.
    """
    threading.Thread(target=_leave, args=[stops, holds_jobs], name="svcjobs-exit", daemon=True).start()


def _leave(stops: queue.SimpleQueue[float], holds_jobs: Callable[[], bool]) -> None:
    leave_at = math.inf
    while True:
        left = leave_at - time.monotonic()
        try:
            grace_seconds = stops.get(timeout=None if left == math.inf else max(left, 0.0))
        except queue.Empty:
            break
        leave_at = min(leave_at, time.monotonic() + grace_seconds + LATE_SECONDS)
    held = holds_jobs()
    logger.error(
        "This process (%d) doesn't stop in time, it just ends%s", os.getpid(),
        ": its jobs will be delivered again" if held else "",
    )  # fmt: skip
    if sys.__stderr__ is not None:
        with contextlib.suppress(OSError, ValueError):
            faulthandler.dump_traceback(sys.__stderr__)
    os._exit(int(held))


def _consume(consumer: Consumer, pool: Pool, leaves: Callable[[], object]) -> None:
    consumer.run()
    leaves()  # a process that makes place for another was told to stop by nobody, and its hooks may hang too
    pool.stop()
    time.sleep(LEFT_SECONDS)
    if pool.slots.busy:
        logger.warning("A handler that was given up doesn't end: the process ends without its shut-down hooks")
        os._exit(0)
