"""What surrounds a handler while it runs: the current job, and a span in a process that is traced."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

from svcjobs.job import Job
from svcjobs.tracing import HandlerSpan, begin_span

_CURRENT: ContextVar[Job | None] = ContextVar("svcjobs_current_job", default=None)


def current_job() -> Job | None:
    """The job that the calling code runs for; None outside of a handler.

    Works in ``async`` and plain handlers and in what they call. Tasks and ``asyncio.to_thread`` carry it on; a thread
    that a handler starts by itself has it if it runs in ``contextvars.copy_context()``.
    """
    return _CURRENT.get()


def job_fields(job: Job) -> dict[str, Any]:
    """What log lines say of a job, also as the ``extra`` of lines that tell of a job from outside of its handler.

    Not its payload, which may be private.
    """
    return {"job_id": job.id, "job_name": job.name, "attempt": job.attempts, "queue": job.queue}


class Attempt:
    """A context for one run of a job's handler.

    Args:
        job: becomes the current one.
    """

    __slots__ = ("_failed", "_identity", "_job", "_span", "_token")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._identity = (job.id, job.queue, job.lease, job.attempts)
        self._failed = False

    def __enter__(self) -> Self:
        job = self._job
        self._token: Token[Job | None] = _CURRENT.set(job)
        self._span: HandlerSpan | None = begin_span(job.queue, job.id, job.name, job.attempts, job.headers)
        return self

    def over(self) -> None:
        """The handler has ended: the job is the reserved one again, whatever its handler called it."""
        job = self._job
        job.id, job.queue, job.lease, job.attempts = self._identity

    def failed(self, error_type: str | None, error: BaseException | None = None) -> None:
        """Tell the span how the attempt failed; None: it didn't."""
        self._failed = error_type is not None
        if self._span is not None and error_type is not None:
            self._span.failed(error_type, error)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.over()
        if self._span is not None:
            if kind is not None:
                self._span.failed(kind.__name__, error)
            self._span.end()
        if (reporting := self._job.reporting) is not None:
            self._job.reporting = None  # a thread that was left behind says nothing any more
            reporting.end(self._job, done=not self._failed and kind is None)
        _CURRENT.reset(self._token)
