"""Handlers that do their work once for each key, however often it is asked for."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

from svcjobs.db.inbox import AsyncInbox, Inbox
from svcjobs.db.mark import expiry
from svcjobs.errors import ConfigurationError, DeadLetter, Postponed
from svcjobs.job import Job
from svcjobs.result import JobResult
from svcjobs.settlement import Bury, Fail, Release
from svcjobs.threads import Threads, is_async

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
Key: TypeAlias = str | Callable[..., object]

DONE_SECONDS = 7 * 86_400.0
CLAIM_SECONDS = 300.0
LOOK_AGAIN_SECONDS = 10.0
AT_ONCE_SECONDS = 0.001
"""The shortest mark: an inbox has no other way to take one back."""


def idempotent(
    *,
    key: Key,
    inbox: Inbox | AsyncInbox,
    ttl_seconds: float = DONE_SECONDS,
    claim_seconds: float = CLAIM_SECONDS,
    name: str | None = None,
) -> Callable[[F], F]:
    """Decorator for a handler or a task: one run that succeeds for each key, and no two at once.

    A run claims the key, does the work, and marks the key as done; a call that meets the mark returns None and does
    nothing. A run that fails (it raises, is cancelled, or returns an unsuccessful result) gives its claim back, so that
    the retry runs. A process that is killed leaves its claim behind, and the next delivery waits until that has run
    out; so it does while another run has the key. The work is done twice only if the process is killed, or the inbox
    fails, between the end of the work and its mark, or if it takes longer than ``claim_seconds``.

    Args:
        key: what tells one piece of work from another. The name of a field of the job's payload, or of an argument of
            the function; or a function that gets what the function gets and returns the key.
        inbox: keeps claims and marks, in transactions of its own: a store of SQL is to be made with a session factory.
            That of an ``async`` function may be one of coroutines; others are called in a thread then.
        ttl_seconds: how long work that was done is remembered.
        claim_seconds: how long a run may take, and a killed one holds the others up.
        name: first part of the marks; by default the module and name of the function.

    Raises:
        ConfigurationError: an argument can't be used; a plain function is given an inbox of coroutines.

    The decorated function raises:
        Postponed: another run has the key; a worker gives the job back for ten seconds, and charges no attempt.
        DeadLetter: there is no key in the job or the arguments.
    """
    for seconds in (ttl_seconds, claim_seconds):
        expiry(0.0, seconds)

    def decorate(function: F) -> F:
        keys = _Keys(function, key, name or f"{function.__module__}.{function.__qualname__}")
        work = functools.partial(_Work, inbox, ttl_seconds, claim_seconds)
        if is_async(function):
            return cast("F", _async(function, keys, work))
        if is_async(inbox.mark):
            raise ConfigurationError(f"{function.__qualname__} is a plain function: give it an inbox of plain methods")
        return cast("F", _plain(function, keys, work))

    return decorate


def _plain(function: Callable[..., Any], keys: _Keys, begin: Callable[[str], _Work]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        work = begin(keys.of(args, kwargs))
        inbox = cast("Inbox", work.inbox)
        if inbox.is_marked(work.key) or not work.claimed(inbox.mark_if_new(*work.claim)):
            return work.skip()
        # it may have been done between the look and the claim
        if inbox.is_marked(work.key):
            inbox.mark(*work.unclaim)
            return work.skip()
        try:
            result = function(*args, **kwargs)
        except BaseException:
            if work.has_claim:
                inbox.mark(*work.unclaim)
            raise
        if succeeded(result):
            inbox.mark(*work.done)
        if work.has_claim:
            inbox.mark(*work.unclaim)
        return result

    return run


def _async(function: Callable[..., Any], keys: _Keys, begin: Callable[[str], _Work]) -> Callable[..., Any]:
    threads = Threads("svcjobs-inbox")

    async def call(method: Callable[..., Any], *args: Any) -> Any:
        return await threads.run(functools.partial(method, *args), like=method)

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        work = begin(keys.of(args, kwargs))
        inbox = work.inbox
        if await call(inbox.is_marked, work.key) or not work.claimed(await call(inbox.mark_if_new, *work.claim)):
            return work.skip()
        if await call(inbox.is_marked, work.key):
            await call(inbox.mark, *work.unclaim)
            return work.skip()
        try:
            result = await function(*args, **kwargs)
        except BaseException:
            if work.has_claim:
                await call(inbox.mark, *work.unclaim)
            raise
        if succeeded(result):
            await call(inbox.mark, *work.done)
        if work.has_claim:
            await call(inbox.mark, *work.unclaim)
        return result

    return run


def succeeded(result: object) -> bool:
    """Whether what a handler returned says that it has done its work."""
    return not isinstance(result, Fail | Bury | Release) and not (isinstance(result, JobResult) and not result.success)


@dataclass(slots=True)
class _Work:
    """One run, and the arguments of the inbox's methods for it."""

    inbox: Inbox | AsyncInbox
    ttl_seconds: float
    claim_seconds: float
    key: str
    began: float = field(default_factory=time.monotonic)

    @property
    def claim(self) -> tuple[str, float]:
        return f"{self.key}:claim", self.claim_seconds

    @property
    def unclaim(self) -> tuple[str, float]:
        return f"{self.key}:claim", AT_ONCE_SECONDS

    @property
    def done(self) -> tuple[str, float]:
        return self.key, self.ttl_seconds

    @property
    def has_claim(self) -> bool:
        """Whether the claim is this run's still: after its time it may be another's."""
        return time.monotonic() - self.began < self.claim_seconds

    def claimed(self, taken: bool) -> bool:
        if not taken:
            seconds = min(LOOK_AGAIN_SECONDS, self.claim_seconds)
            raise Postponed(seconds, f"{self.key} is being done elsewhere, or was by a process that was killed")
        return True

    def skip(self) -> None:
        logger.info("%s was done before: skipped", self.key)


class _Keys:
    """Finds the key of a call.

    Args:
        function: that is called.
        key: how it is found.
        name: put before it.
    """

    def __init__(self, function: Callable[..., Any], key: Key, name: str) -> None:
        if not callable(key) and not (isinstance(key, str) and key):
            raise ConfigurationError(f"key is {key!r}: give the name of a field or argument, or a function")
        self._key = key
        self._name = name
        self._signature = inspect.signature(function)

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        found = self._field(self._key, args, kwargs) if isinstance(self._key, str) else self._key(*args, **kwargs)
        if found is None or found == "":
            raise DeadLetter(f"{self._name} has no key in this call: {self._key!r} gives {found!r}", reason="no_key")
        text = found if isinstance(found, str) else json.dumps(found, sort_keys=True, default=str)
        return f"idempotent:{self._name}:{text}"

    def _field(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if args and isinstance(args[0], Job):
            return args[0].payload.get(name)
        call = self._signature.bind(*args, **kwargs)
        call.apply_defaults()
        if name not in call.arguments:
            raise DeadLetter(f"{self._name} has no argument {name}, which is to be its key", reason="no_key")
        return cast("object", call.arguments[name])
