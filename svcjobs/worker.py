"""One job at a time, called by hand: the guide's section "Processing Jobs"."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from svcjobs.application import Handler
from svcjobs.awaited_queue import AnyQueue, AwaitedQueue
from svcjobs.effects import Effect
from svcjobs.errors import InvalidJob, LeaseLost, QueueUnavailable
from svcjobs.execution import Execution, configured_timeout_seconds, execute, is_cancelled, unstorable
from svcjobs.job import Job
from svcjobs.leases import Leases
from svcjobs.settlement import Ack, Bury, Fail, Release, Settlement
from svcjobs.threads import Threads

logger = logging.getLogger(__name__)

SETTLE_AGAIN_AFTER_SECONDS = (0.1, 0.4, 1.0)


async def process_one(queue: AnyQueue, handler: Handler) -> bool:
    """Reserve one job, run ``handler`` on it and settle it; returns whether there was a job.

    A handler that returns has succeeded: the job is acked. One that raises has failed: the job is retried, or
    dead-lettered after its last attempt (:class:`~svcjobs.errors.RetryLater` and
    :class:`~svcjobs.errors.DeadLetter` say more). Whatever it raises, nothing of it is raised here. It may run
    for JOB_DEFAULT_TIMEOUT_SECONDS; its lease is extended meanwhile. A plain function runs in a thread. When
    the lease is lost nevertheless, the handler is cancelled and what it did is left to the next delivery.

    A sync queue is called in place, which blocks the event loop for a round trip; WorkerRunner doesn't.

    Raises:
        QueueUnavailable: the queue couldn't be reached, for the settlement after four tries.
        CancelledError: this call was cancelled; the job was given back, with no attempt charged.
    """
    job = await _reserve(queue)
    if job is None:
        return False
    threads = Threads("svcjobs-process-one")
    running = asyncio.create_task(execute(job, handler, threads, _get_job_timeout_seconds()))
    keeping = asyncio.create_task(_keep_lease(queue, job, threads, running))
    try:
        try:
            settlement: Settlement = (await running).settlement
        except asyncio.CancelledError:
            # refused, and counted, when it was the lost lease that cancelled the handler
            settlement = Release(job)
        settling = asyncio.ensure_future(_settle(queue, settlement))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await settling  # it has ended, and isn't to run again
            raise
        if is_cancelled():
            raise asyncio.CancelledError
    finally:
        keeping.cancel()
        threads.close()
    return True


def _get_job_timeout_seconds() -> float | None:
    """JOB_DEFAULT_TIMEOUT_SECONDS, or None; a value that can't be used is None too, with a warning."""
    return configured_timeout_seconds()


async def _reserve(queue: AnyQueue) -> Job | None:
    reserved = queue.reserve_next()
    if not inspect.isawaitable(reserved):
        return reserved
    reserving = asyncio.ensure_future(reserved)
    try:
        return await asyncio.shield(reserving)
    except asyncio.CancelledError:
        if job := await reserving:  # it was leased to a caller that is gone
            await _settle(queue, Release(job))
        raise


async def _keep_lease(queue: AnyQueue, job: Job, threads: Threads, running: asyncio.Task[Execution]) -> None:
    leases = Leases(queue.visibility_timeout, lambda _: running.cancel())
    leases.hold(job)
    await leases.keep(AwaitedQueue(queue, threads))


async def _settle(queue: AnyQueue, settlement: Settlement) -> None:
    job = settlement.job
    try:
        try:
            await _settle_again(queue, settlement)
        except InvalidJob as error:
            if not (failed := unstorable(settlement, error)):
                raise
            await _settle_again(queue, failed)
    except LeaseLost:
        logger.warning("The lease of job %s (%s) is lost: its outcome doesn't count", job.id, job.name)


async def _settle_again(queue: AnyQueue, settlement: Settlement) -> None:
    for pause in SETTLE_AGAIN_AFTER_SECONDS:
        try:
            return await _await(_verb(queue, settlement))
        except QueueUnavailable as error:
            logger.info("Job %s isn't settled yet: %s", settlement.job.id, error)
            await asyncio.sleep(pause)
    return await _await(_verb(queue, settlement))


def _verb(queue: AnyQueue, settlement: Settlement) -> Callable[[], Any]:
    """The documented call, which tests of applications expect of a queue that is a mock."""
    job = settlement.job
    match settlement:
        case Ack(effects=effects):
            return lambda: queue.ack(job, **_with(effects))
        case Fail(error=error, traceback=text, delay_seconds=delay, effects=effects):
            return lambda: queue.fail(job, error=error, traceback=text, delay_seconds=delay, **_with(effects))
        case Bury(reason=reason, error=error, traceback=text, effects=effects):
            return lambda: queue.bury(job, reason=reason, error=error, traceback=text, **_with(effects))
        case Release(delay_seconds=seconds, charged=charged, suspect=suspect):
            return lambda: queue.release(job, delay_seconds=seconds, charged=charged, suspect=suspect)


def _with(effects: Sequence[Effect]) -> dict[str, Any]:
    return {"effects": effects} if effects else {}


async def _await(verb: Callable[[], Any]) -> None:
    result = verb()
    if inspect.isawaitable(result):
        await result
