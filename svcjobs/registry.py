"""Handlers by job name, and the dispatch of a job to its handler."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from svcjobs.errors import ConfigurationError, JobTimeoutError, SchemaMismatch, UnknownJobError
from svcjobs.job import Job, encode_payload
from svcjobs.result import JobResult
from svcjobs.settlement import Bury, Fail
from svcjobs.threads import Threads

if TYPE_CHECKING:
    from svcjobs.metrics import Metrics

__all__ = ["JobRegistry", "JobResult", "JobTimeoutError", "UnknownJobError"]

logger = logging.getLogger(__name__)

HandlerT = TypeVar("HandlerT", bound=Callable[..., object])
Hook = Callable[[], object]
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the payload of an older version into one of the present version."""
HookT = TypeVar("HookT", bound=Hook)


@dataclass(frozen=True, slots=True)
class _Entry:
    function: Callable[..., object]
    payload: TypeAdapter[Any] | None
    upcast: Upcaster | None


class JobRegistry:
    """Handlers by job name; the guide's section "JobRegistry (Recommended)".

    A handler is an ``async`` function, or a plain one, which runs in a thread. It gets the job, and returns a
    :class:`JobResult`, or None for success. Registered with ``payload=SomeType`` it is called with two
    arguments, the job and its payload as a ``SomeType``: anything pydantic can validate, a model, a dataclass, a
    TypedDict.

    A registry is an :class:`~svcjobs.application.Application`: a worker can run it as it is.

    Args:
        metric_prefix: the first word of its metrics' names.
        queues: names of the queues that a worker of this registry works on when its command line names none.
        schedule: what a worker with ``-B`` emits, entries in the form of ``JOBS_SCHEDULE_JSON``.
    """

    def __init__(
        self,
        metric_prefix: str = "jobs",
        *,
        queues: Sequence[str] = (),
        schedule: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.metric_prefix = metric_prefix
        self.queues = tuple(queues)
        self.schedule = tuple(schedule)
        self._entries: dict[str, _Entry] = {}
        self._startup: list[Hook] = []
        self._shutdown: list[Hook] = []
        self._threads = Threads("svcjobs-handler")
        self._metrics: Metrics | None = None

    def register(
        self, name: str, handler: Callable[..., object], *, payload: Any = None, upcast: Upcaster | None = None
    ) -> None:
        """Let ``handler`` run the jobs called ``name``, in place of the one that did, of which a warning tells.

        Args:
            name: the jobs' name.
            handler: see the class.
            payload: the type of the handler's second argument; None calls it with the job alone.
            upcast: gets a copy of a payload that doesn't fit the type, and returns one that does: jobs that an older
                version of the program enqueued run on this one.

        Raises:
            ConfigurationError: ``upcast`` is given without ``payload``; the name is no text; the handler can't be
                called, or is a generator function, whose body a call doesn't run.
        """
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f'the name of a handler\'s jobs is {name!r}: write @registry.handler("name")')
        if not callable(handler):
            raise ConfigurationError(f"the handler of {name} is {handler!r}: give a function")
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise ConfigurationError(f"the handler of {name} is a generator function: a call runs nothing of it")
        if upcast is not None and payload is None:
            raise ConfigurationError(f"upcast of {name} needs payload=, the type that payloads are brought to")
        if name in self._entries:
            logger.warning("Job %s had a handler already: the new one takes its place", name)
        self._entries[name] = _Entry(handler, None if payload is None else TypeAdapter(payload), upcast)

    def handler(
        self, name: str, *, payload: Any = None, upcast: Upcaster | None = None
    ) -> Callable[[HandlerT], HandlerT]:
        """Decorator that registers a function, and returns it unchanged; arguments as :meth:`register`."""

        if callable(name):
            raise ConfigurationError('the decorator needs the name of the jobs: write @registry.handler("name")')

        def decorate(function: HandlerT) -> HandlerT:
            self.register(name, function, payload=payload, upcast=upcast)
            return function

        return decorate

    def has_handler(self, name: str) -> bool:
        """Whether jobs called ``name`` have a handler."""
        return name in self._entries

    def get_handler(self, name: str) -> Callable[..., object] | None:
        """The function that runs jobs called ``name``, as it was registered, or None."""
        entry = self._entries.get(name)
        return None if entry is None else entry.function

    def list_handlers(self) -> list[str]:
        """The names of all jobs that have a handler."""
        return list(self._entries)

    @property
    def handlers(self) -> dict[str, Callable[..., object]]:
        """The functions by name; a copy."""
        return {name: entry.function for name, entry in self._entries.items()}

    @property
    def metrics(self) -> Metrics:
        """What :meth:`dispatch` counts and times from the first use of this property on; before, it does neither."""
        if self._metrics is None:
            from svcjobs.metrics import Metrics

            self._metrics = Metrics(self.metric_prefix)
        return self._metrics

    async def dispatch(self, job: Job, timeout: float | None = 300) -> JobResult:  # noqa: ASYNC109 - documented name
        """Run the job's handler and return its result.

        Args:
            job: the job.
            timeout: how long the handler may run, in seconds; None is without limit. A plain function can't be
                stopped: it runs on in its thread.

        Raises:
            UnknownJobError: the job's name has no handler.
            SchemaMismatch: its payload doesn't fit the handler's type; the handler wasn't called.
            JobTimeoutError: the handler ran longer.
            Exception: whatever the handler raised.
        """
        began = time.perf_counter()
        try:
            result = await self._limited(job, timeout)
        except Exception as error:
            self._observe(job, began, type(error).__name__)
            raise
        self._observe(job, began, None if result.success else JobResult.__name__)
        return result

    async def __call__(self, job: Job, /) -> JobResult:
        """Run the job for a worker: as :meth:`dispatch`, but the worker limits, counts and times it."""
        call = self.bind(job)
        returned = await self._threads.run(call, like=call.func)
        if isinstance(returned, JobResult):
            return returned
        if isinstance(returned, Fail | Bury):  # a settlement of its own: who dispatches by hand has to know
            return JobResult(False, returned.error)
        return JobResult(True, f"Job {job.name} completed")

    def bind(self, job: Job) -> functools.partial[object]:
        """The call of the job's handler, see :func:`svcjobs.application.bind`; its payload is validated here.

        Raises:
            UnknownJobError: the job's name has no handler.
            SchemaMismatch: its payload doesn't fit the handler's type.
        """
        entry = self._entries.get(job.name)
        if entry is None:
            raise UnknownJobError(job.name)
        if entry.payload is None:
            return functools.partial(entry.function, job)
        return functools.partial(entry.function, job, _typed_payload(job, entry.payload, entry.upcast))

    def _observe(self, job: Job, began: float, error_type: str | None) -> None:
        if self._metrics is not None:
            self._metrics.observe(job.name, time.perf_counter() - began, error_type)

    async def _limited(self, job: Job, seconds: float | None) -> JobResult:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self(job)
        except TimeoutError:
            if seconds is None or not limit.expired():
                raise  # the handler's own
            raise JobTimeoutError(job.name, seconds) from None

    # the life of a worker

    def on_startup(self, hook: HookT) -> HookT:
        """Decorator: run a function before a worker fetches its first job."""
        self._startup.append(hook)
        return hook

    def on_shutdown(self, hook: HookT) -> HookT:
        """Decorator: run a function after a worker has settled its last job."""
        self._shutdown.append(hook)
        return hook

    async def startup(self) -> None:
        """Run the startup hooks, in the order of their registration."""
        for hook in self._startup:
            await self._threads.run(hook, like=hook)

    async def shutdown(self) -> None:
        """Run the shutdown hooks, the last registered first."""
        for hook in reversed(self._shutdown):
            await self._threads.run(hook, like=hook)


def _typed_payload(job: Job, adapter: TypeAdapter[Any], upcast: Upcaster | None) -> Any:
    """The payload as the handler's type; one that doesn't fit is upcast first."""
    try:
        return _validated(job.payload, adapter)
    except ValidationError as error:
        if upcast is None:
            raise _mismatch(job, error) from None
    try:
        return _validated(upcast(copy.deepcopy(job.payload)), adapter)
    except ValidationError as error:
        raise _mismatch(job, error) from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # it met a version that it doesn't know, which no retry will change
        raise SchemaMismatch(f"the payload of {job.name} can't be upcast: {type(error).__name__}: {error}") from error


def _validated(payload: dict[str, Any], adapter: TypeAdapter[Any]) -> Any:
    """A payload read as the JSON that it is: ``"2026-01-01"`` is a date where the type asks for one."""
    return adapter.validate_json(encode_payload(payload))


def _mismatch(job: Job, error: ValidationError) -> SchemaMismatch:
    problems = [
        f"{'.'.join(map(str, problem['loc'])) or 'payload'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return SchemaMismatch(f"the payload of {job.name} doesn't fit its handler: {'; '.join(problems)}")
