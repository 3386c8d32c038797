"""A Celery app as the engine runs it: each leased job is a message, and becomes a request that settles it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any

from billiard.einfo import ExceptionInfo

from svcjobs.child import Workplace
from svcjobs.errors import TimeLimitExceeded as HardLimit
from svcjobs.job import Job
from svcjobs.pools.slots import Lease, lease_of
from svcjobs.settlement import Ack, Release, Settlement
from svcjobs.settlement import Outcome as Settled
from svcjobs_celery_compat import outcome as outcomes
from svcjobs_celery_compat.app.trace import build_tracer, trace_task
from svcjobs_celery_compat.exceptions import Reject, SoftTimeLimitExceeded
from svcjobs_celery_compat.outcome import Outcome, committing
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker.ending import exited
from svcjobs_celery_compat.worker.intake import Intake
from svcjobs_celery_compat.worker.job_request import JobRequest

logger = get_logger("celery.worker.request")

AGAIN_SECONDS = 5.0


def _same(settlement: object) -> object:
    return settlement


@contextlib.contextmanager
def _outside_of_the_loop() -> Iterator[None]:
    """What is called within runs in the main thread, as in Celery, and no event loop seems to run there.

    Django's database refuses to work inside of one, and ``asyncio.run`` to start another.
    """
    loop = asyncio.events._get_running_loop()
    asyncio.events._set_running_loop(None)
    try:
        yield
    finally:
        asyncio.events._set_running_loop(loop)


class _Running:
    """A request that runs, with what is to commit with it; what it raises doesn't count once it was terminated."""

    __slots__ = ("_outcome", "_pid", "_request", "_token")

    def __init__(self, request: JobRequest, outcome: Outcome, pid: int) -> None:
        self._request = request
        self._pid = pid
        self._outcome = request.outcome = outcome

    def __enter__(self) -> Outcome:
        self._token: Token[Outcome | None] = outcomes.begin(self._outcome)
        try:
            self._request.on_accepted(self._pid, time.monotonic())
        except BaseException:
            outcomes.end(self._token)
            raise
        return self._outcome

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> bool:
        outcomes.end(self._token)
        return kind is not None and self._request.is_terminated


class TaskApplication:
    """An :class:`~svcjobs.application.Application` with the hooks of :class:`~svcjobs.hooks.Hooks`.

    Args:
        app: the Celery app.
        intake: makes requests of jobs.
        begin: called in each process before its first task, with the workplace.
        end: called after its last task.
    """

    queues: Sequence[str] = ()
    schedule: Sequence[Mapping[str, Any]] = ()
    metric_prefix = "celery"

    def __init__(self, app: Any, intake: Intake, begin: Any = None, end: Any = None) -> None:
        self.app = app
        self.intake = intake
        self._begin = begin
        self._end = end
        self.requests: dict[Lease, JobRequest] = {}
        self.workplace: Workplace | None = None
        self._ways: dict[str, Callable[..., object]] = {}  # how each task is run
        self._pid = os.getpid()

    # the life of a process

    def joined(self, workplace: Workplace) -> None:
        """The process is about to start."""
        self.workplace = workplace
        self._pid = os.getpid()

    async def startup(self) -> None:
        """Before the first task."""
        if self._begin is not None:
            with _outside_of_the_loop():
                self._begin(self.workplace)

    async def shutdown(self) -> None:
        """After the last task."""
        if self._end is not None:
            with _outside_of_the_loop():
                self._end()

    def soft_limit_error(self, job: Job, seconds: float) -> Exception:
        """What a task sees at its soft limit; its request is told."""
        if (request := self.requests.get(lease_of(job))) is not None:
            try:
                request.on_timeout(soft=True, timeout=seconds)
            except Exception:
                logger.exception("on_timeout of the request of %s failed", request.humaninfo())
        error: Exception = SoftTimeLimitExceeded()
        return error

    # a job

    def reserved(self, jobs: Sequence[Job]) -> Sequence[Settlement]:
        """Take in leased jobs; those that aren't to run are settled."""
        settlements: list[Settlement] = []
        for job, taken in self.intake.take(job for job in jobs if job.verdict is None):
            if isinstance(taken, JobRequest):
                self.requests[lease_of(job)] = taken
            else:
                settlements.append(taken)
        return settlements

    def __call__(self, job: Job, /) -> object:
        return self.bind(job)()

    def bind(self, job: Job) -> functools.partial[object]:
        """The call that runs the task of a job: of an ``async`` function where the task is one."""
        request = self.requests.get(lease_of(job))
        if request is None:
            # its message couldn't be looked at when it was reserved
            call: Callable[..., object] = functools.partial(Release, delay_seconds=AGAIN_SECONDS)
            return functools.partial(call, job)
        if revoked := self.intake.revoked(job, request):
            return functools.partial(_same, revoked)
        name = request.task.name
        if name not in self._ways:
            self._ways[name] = self._run_async if inspect.iscoroutinefunction(request.task.run) else self._run
        return functools.partial(self._ways[name], job, request)

    def _run(self, job: Job, request: JobRequest) -> Settlement:
        traced = None
        with _Running(request, self.intake.new_outcome(), self._pid) as outcome:
            context = request.context()
            traced = trace_task(
                request.task, request.id, context.args, context.kwargs, context, hostname=request.hostname, app=self.app
            )
        return self._settlement(job, request, outcome, traced)

    async def _run_async(self, job: Job, request: JobRequest) -> Settlement:
        task = request.task
        if task.__trace__ is None:
            task.__trace__ = build_tracer(task.name, task, hostname=request.hostname, app=self.app)
        traced = None
        with _Running(request, self.intake.new_outcome(), self._pid) as outcome:
            context = request.context()
            steps = task.__trace__.steps(request.id, context.args, context.kwargs, context)
            advance = functools.partial(next, steps)
            while True:
                try:
                    body = advance()
                except StopIteration as stop:
                    traced = stop.value
                    break
                try:
                    value = await body
                except BaseException as exc:  # noqa: BLE001 - it is the task's, and belongs into the trace
                    advance = functools.partial(steps.throw, exc)
                else:
                    advance = functools.partial(steps.send, value)
        return self._settlement(job, request, outcome, traced)

    def _settlement(self, job: Job, request: JobRequest, outcome: Outcome, traced: Any) -> Settlement:
        """How a task that ran is settled."""
        if request.is_terminated:
            return Ack(job)
        result, told, runtime, text = traced
        if told is None and not (request.eventer and request.eventer.enabled):
            request.on_success((0, text, runtime))  # which tells nobody anything
            return self.intake.settlement(job, request, outcome, told)
        token = outcomes.begin(outcome)
        try:
            with committing():
                request.on_success((1, result, runtime) if told else (0, text, runtime))
        finally:
            outcomes.end(token)
        return self.intake.settlement(job, request, outcome, told)

    # outcomes that the engine finds

    def failed(self, job: Job, error: BaseException) -> Settlement:
        """The task ran over its hard limit, or something outside of it raised."""
        request = self.requests.get(lease_of(job))
        if request is None:
            return Release(job, delay_seconds=AGAIN_SECONDS)
        if request.is_terminated:
            return Ack(job)
        outcome = self.intake.new_outcome()
        token = outcomes.begin(outcome)
        try:
            with committing():
                if isinstance(error, HardLimit):
                    request.on_timeout(soft=False, timeout=error.limit_seconds)
                else:
                    self._failed_outside(request, error)
        finally:
            outcomes.end(token)
        if request.is_requeued:
            return Release(job, charged=True)
        return self.intake.buried(job, request, outcome, error)

    @staticmethod
    def _failed_outside(request: JobRequest, error: BaseException) -> None:
        if not isinstance(error, Exception):
            error = exited(error)
        try:
            raise error
        except Exception:  # noqa: BLE001 - only for its traceback
            einfo = ExceptionInfo()
        if isinstance(error, Reject):
            request.on_failure(einfo)
        else:
            request.fail(error, einfo)

    def condemned(self, job: Job, verdict: str) -> Settlement:
        """The job was delivered too often, can't be read, or was cancelled."""
        return self.intake.condemned(job, verdict)

    def settled(self, settlement: Settlement, settled: Settled | None) -> None:
        """The queue has the outcome: now it is told to others."""
        request = self.requests.pop(lease_of(settlement.job), None)
        if request is not None:
            request.settled(settlement, settled)
