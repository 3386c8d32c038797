"""What a worker needs to know of an application, and no more."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from svcjobs.errors import ConfigurationError
from svcjobs.job import Job

Handler = Callable[[Job], object]
"""Runs one job. Returns an awaitable (``async def``), or is a plain function, which then runs in a thread."""


@runtime_checkable
class Application(Protocol):
    """Whatever ``svcjobs worker -A`` can run; a :class:`~svcjobs.registry.JobRegistry` is one.

    Attributes:
        queues: names of the queues to work on when the command line names none; empty is the default queue.
        schedule: entries in the form of ``JOBS_SCHEDULE_JSON``.
        metric_prefix: the first word of the names of its metrics.
    """

    @property
    def queues(self) -> Sequence[str]: ...

    @property
    def schedule(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def metric_prefix(self) -> str: ...

    def __call__(self, job: Job, /) -> object:
        """Run one job, as a :data:`Handler`."""
        ...

    async def startup(self) -> None:
        """Runs in the worker's loop before the first job is fetched; an exception stops the worker."""
        ...

    async def shutdown(self) -> None:
        """Runs in the worker's loop after the last job is settled."""
        ...


def bind(handler: Handler, job: Job) -> functools.partial[object]:
    """The call that ``handler`` makes of a job, not yet made.

    An application whose own call only finds the function that runs a job may have a method ``bind(job)`` that returns
    the call of that function: a worker then runs a plain one where its pool runs them, in the main thread for one.
    """
    binding = getattr(type(handler), "bind", None)  # of the class: a mock as the handler has every attribute
    call: functools.partial[object] = functools.partial(handler, job) if binding is None else binding(handler, job)
    return call


class HandlerApplication:
    """An application of one handler, which gets every job of the default queue."""

    queues: Sequence[str] = ()
    schedule: Sequence[Mapping[str, Any]] = ()
    metric_prefix = "jobs"

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, job: Job, /) -> object:
        return self.handler(job)

    def bind(self, job: Job) -> functools.partial[object]:
        """The call of the handler."""
        return functools.partial(self.handler, job)

    async def startup(self) -> None:
        """Nothing to start."""

    async def shutdown(self) -> None:
        """Nothing to stop."""


def as_application(target: object) -> Application:
    """The application that ``target`` is, or that its one handler makes.

    An object of another framework may have a method ``__svcjobs_application__`` that returns the application.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(target, Application) and not isinstance(target, type):
        return target
    make = getattr(type(target), "__svcjobs_application__", None)
    if make is not None:
        return cast("Application", make(target))
    if callable(target) and not isinstance(target, type):
        return HandlerApplication(cast("Handler", target))
    raise ConfigurationError(
        f"{target!r} is neither a JobRegistry nor a handler: give a registry, or a function that takes a job"
    )
