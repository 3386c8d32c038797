"""Retries for exceptions that a task names, so that it needn't call ``retry`` itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import wraps
from typing import Any

from svcjobs_celery_compat.exceptions import Ignore, Reject, Retry
from svcjobs_celery_compat.utils.time import get_exponential_backoff_interval

__all__ = ("add_autoretry_behaviour",)


def add_autoretry_behaviour(task: Any, **options: Any) -> None:
    """Wrap ``task.run`` if the task has ``autoretry_for``; once only.

    Each option is also an attribute of the task:

    Parameters:
        autoretry_for: exception classes that lead to a retry.
        dont_autoretry_for: those among them that don't.
        retry_kwargs: for :meth:`~svcjobs_celery_compat.app.task.Task.retry`, such as ``max_retries`` or ``countdown``.
        retry_backoff: seconds until the first retry, twice that until the next one, and so on; true for 1.
        retry_backoff_max: seconds at most, 600 by default.
        retry_jitter: wait for a random part of that; the default.
    """

    def option(name: str, default: Any) -> Any:
        return options.get(name, getattr(task, name, default))

    autoretry_for = tuple(option("autoretry_for", ()))
    if not autoretry_for or hasattr(task, "_orig_run"):
        return
    passed = (Ignore, Reject, Retry, *option("dont_autoretry_for", ()))
    retry_kwargs = option("retry_kwargs", {})
    backoff = _Backoff(option("retry_backoff", False), option("retry_backoff_max", 600), option("retry_jitter", True))
    original = task.run

    if inspect.iscoroutinefunction(original):

        @wraps(original)
        async def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return await original(*args, **kwargs)
            except passed:
                raise
            except autoretry_for as exc:
                raise _retry(task, exc, retry_kwargs, backoff) from exc
    else:

        @wraps(original)
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except passed:
                raise
            except autoretry_for as exc:
                raise _retry(task, exc, retry_kwargs, backoff) from exc

    task._orig_run, task.run = original, run


class _Backoff:
    def __init__(self, first: Any, longest: Any, jitter: bool) -> None:
        self.first = max(1, int(first)) if first else 0
        self.longest = int(longest)
        self.jitter = jitter

    def seconds(self, retries: int) -> int:
        return get_exponential_backoff_interval(
            factor=self.first, retries=retries, maximum=self.longest, full_jitter=self.jitter
        )


def _retry(task: Any, exc: BaseException, retry_kwargs: Mapping[str, Any], backoff: _Backoff) -> BaseException:
    # a copy: the mapping is shared by all runs, and by tasks of one base class
    arguments = dict(retry_kwargs)
    if backoff.first:
        arguments["countdown"] = backoff.seconds(task.request.retries)
    # what the run itself said last
    limit = task.request._max_retries
    if limit is None:
        limit = getattr(task, "override_max_retries", None)
    if limit is not None:
        arguments["max_retries"] = limit
    ret: BaseException = task.retry(exc=exc, **arguments)
    return ret
