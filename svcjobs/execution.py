"""One attempt at one job: from a reserved job to the settlement that it earned."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass

from svcjobs.application import Handler, bind
from svcjobs.attempt import Attempt, job_fields
from svcjobs.errors import (
    ConfigurationError,
    DeadLetter,
    JobTimeoutError,
    Postponed,
    RetryLater,
    SchemaMismatch,
    UnknownJobError,
)
from svcjobs.failure import error_text, text_of, traceback_text
from svcjobs.hooks import hook
from svcjobs.interruption import Interruptible
from svcjobs.job import LONGEST_SECONDS, Job
from svcjobs.limits import SoftError, soft_limit_error
from svcjobs.result import JobResult
from svcjobs.settings import default_timeout_seconds
from svcjobs.settlement import Ack, Bury, Fail, Outcome, Release, Settlement
from svcjobs.threads import Threads

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Execution:
    """What came of one attempt.

    Args:
        settlement: how the job is to be settled.
        seconds: how long the handler ran.
        error_type: name of the exception's class, ``JobResult`` for an unsuccessful one; None is a success.
    """

    settlement: Settlement
    seconds: float
    error_type: str | None = None


class _Raised(Exception):
    """Carries what a handler raised: its own TimeoutError isn't ours, and SystemExit would end the loop."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


async def execute(
    job: Job,
    handler: Handler,
    threads: Threads,
    timeout_seconds: float | None,
    soft_seconds: float | None = None,
    soft_error: SoftError = soft_limit_error,
) -> Execution:
    """Run ``handler`` on ``job``. Never raises what the handler raises; being cancelled is passed on.

    Args:
        job: a leased job.
        handler: see :data:`~svcjobs.application.Handler`.
        threads: where a plain function runs. One that runs over its time, or is cancelled, can't be stopped there.
        timeout_seconds: how long the handler may run; None is without limit.
        soft_seconds: after which an error is raised in the handler; None is never.
        soft_error: makes that error.
    """
    if job.verdict is not None:
        return condemned(job, job.verdict, handler)
    began = time.perf_counter()
    error = None
    result = None
    with Attempt(job) as attempt:
        try:
            call = _call(job, handler, threads, soft_seconds, soft_error)
            result = await (call if timeout_seconds is None else asyncio.wait_for(call, timeout=timeout_seconds))
        except _Raised as raised:
            error = raised.error
        except TimeoutError:
            error = JobTimeoutError(job.name, timeout_seconds or 0.0)
        except asyncio.CancelledError as cancelled:
            if is_cancelled():
                raise
            error = cancelled
        attempt.over()
        execution = ended(job, result, error, time.perf_counter() - began, handler)
        attempt.failed(execution.error_type, error)
    return execution


def execute_here(job: Job, handler: Handler, make: Callable[[functools.partial[object]], object]) -> Execution:
    """Run ``handler`` on ``job`` in this thread; ``make`` makes the call, within its limits, and returns its result."""
    if job.verdict is not None:
        return condemned(job, job.verdict, handler)
    began = time.perf_counter()
    error: BaseException | None = None
    result = None
    with Attempt(job) as attempt:
        try:
            result = make(bind(handler, job))
        except BaseException as raised:  # noqa: BLE001 - a SystemExit fails the job, it doesn't end the worker
            error = raised
        attempt.over()
        execution = ended(job, result, error, time.perf_counter() - began, handler)
        attempt.failed(execution.error_type, error)
    return execution


def condemned(job: Job, verdict: str, handler: object = None) -> Execution:
    """What comes of a job that a reserve found past its limit, or unreadable."""
    if own := hook(handler, "condemned"):
        return Execution(own(job, verdict), 0.0, verdict)
    return Execution(Bury(job, verdict, error=job.last_error or ""), 0.0, verdict)


def ended(job: Job, result: object, error: BaseException | None, seconds: float, handler: object = None) -> Execution:
    """What comes of a job whose handler returned ``result`` or raised ``error``, after ``seconds``.

    A handler may return the settlement itself, for effects that are to commit with it. An outcome that breaks whatever
    looks at it fails the attempt: given back uncharged, the job would come again and again.
    """
    try:
        return _failed(job, error, seconds, handler) if error is not None else _returned(job, result, seconds)
    except Exception as fault:  # noqa: BLE001 - an exception class of the user's may do anything
        return Execution(Fail(job, error=error_text(fault), traceback=traceback_text(fault)), seconds, "Exception")


def _failed(job: Job, error: BaseException, seconds: float, handler: object) -> Execution:
    if isinstance(error, Postponed) and (delay := _delay_seconds(error)) is not None:
        return Execution(Release(job, delay_seconds=delay), seconds)
    own = hook(handler, "failed")
    return Execution(own(job, error) if own else settlement_of(job, error), seconds, type(error).__name__)


def _returned(job: Job, result: object, seconds: float) -> Execution:
    if result is None:
        return Execution(Ack(job), seconds)
    if isinstance(result, Settlement):
        return Execution(result, seconds, type(result).__name__ if isinstance(result, Fail | Bury) else None)
    if isinstance(result, JobResult) and not result.success:
        return Execution(Fail(job, error=text_of(result.message)), seconds, JobResult.__name__)
    if isinstance(result, Generator | AsyncGenerator | Coroutine):
        if isinstance(result, Coroutine):
            result.close()  # else it warns that nobody awaited it
        error = f"the handler returned a {type(result).__name__}, which nobody runs: await it, or iterate over it"
        return Execution(Fail(job, error=error), seconds, type(result).__name__)
    return Execution(Ack(job), seconds)


def settlement_of(job: Job, error: BaseException) -> Settlement:
    """The settlement of a job whose handler raised ``error``."""
    if isinstance(error, RetryLater):
        return Fail(job, error=error_text(error), delay_seconds=_delay_seconds(error))
    if isinstance(error, DeadLetter):
        return Bury(
            job, text_of(getattr(error, "reason", "rejected")), error=error_text(error), traceback=traceback_text(error)
        )
    if isinstance(error, SchemaMismatch):
        return Bury(job, "schema_mismatch", error=error_text(error))
    if isinstance(error, UnknownJobError):
        # another worker, or the next release of this one, may know it: a rolling deploy must lose nothing
        last = job.attempts >= job.max_attempts
        return Bury(job, "unknown_job", error=error_text(error)) if last else Fail(job, error=error_text(error))
    return Fail(job, error=error_text(error), traceback=traceback_text(error))


def unstorable(settlement: Settlement, error: Exception) -> Fail | None:
    """What comes of an outcome whose effects can't be stored: the attempt fails, and the error says why.

    None when it has no effects: then it isn't those.
    """
    has_effects = not isinstance(settlement, Release) and settlement.effects
    return Fail(settlement.job, error=error_text(error)) if has_effects else None


def tell(settlement: Settlement, outcome: Outcome | None) -> None:
    """Log a failure or a lost lease. Without this a worker whose handlers all fail would look idle.

    The traceback is stored with the job, and not logged.
    """
    if outcome is Outcome.ACKED:
        return
    job = settlement.job
    fields = job_fields(job)
    if outcome is Outcome.STALE:
        logger.warning("The lease of job %s (%s) was lost: its outcome doesn't count", job.id, job.name, extra=fields)
    elif outcome is Outcome.CANCELLED:
        logger.info("Job %s (%s) was cancelled: it is in the dead letter queue", job.id, job.name, extra=fields)
    elif isinstance(settlement, Fail | Bury) and not (isinstance(settlement, Bury) and settlement.logged):
        buried = outcome is Outcome.BURIED
        logger.log(
            logging.ERROR if buried else logging.WARNING,
            "Job %s (%s) failed, attempt %s of %s, %s: %s",
            job.id, job.name, job.attempts, job.max_attempts,
            "now in the dead letter queue" if buried else "tried again",
            settlement.error.strip().partition("\n")[0],
            extra=fields,
        )  # fmt: skip


def configured_timeout_seconds() -> float | None:
    """JOB_DEFAULT_TIMEOUT_SECONDS; None when it is unset, or can't be used, which a warning says."""
    try:
        return default_timeout_seconds()
    except ConfigurationError as error:
        logger.warning("%s; handlers run without a time limit", error)
        return None


async def _call(
    job: Job, handler: Handler, threads: Threads, soft_seconds: float | None, soft_error: SoftError
) -> object:
    try:
        call = bind(handler, job)
        running = threads.run(call, like=call.func)
        if soft_seconds is None:
            return await running
        return await Interruptible(running, soft_seconds, functools.partial(soft_error, job, soft_seconds))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        if isinstance(error, GeneratorExit) and _is_being_closed():
            raise
        raise _Raised(error) from None


def is_cancelled() -> bool:
    """Whether this task is being cancelled, and not just one that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_being_closed() -> bool:
    """Whether the coroutine that asks is closed from outside, as at the end of its loop, and not run by a task."""
    try:
        return asyncio.current_task() is None
    except RuntimeError:
        return True


def _delay_seconds(error: RetryLater | Postponed) -> float | None:
    """The delay, a hundred years at most; None when it is no number of seconds."""
    try:
        seconds = float(error.delay_seconds)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    return min(seconds, LONGEST_SECONDS) if 0 <= seconds < math.inf else None
