"""Pools by name, as the command line gives them."""

from __future__ import annotations

from svcjobs.errors import ConfigurationError
from svcjobs.limits import Limits
from svcjobs.pools.async_pool import AsyncPool
from svcjobs.pools.main_thread_pool import MainThreadPool
from svcjobs.pools.pool import Pool
from svcjobs.pools.thread_pool import ThreadPool

POOLS = ("async", "threads", "prefork", "solo")


def make_pool(name: str, concurrency: int, limits: Limits) -> Pool:
    """The pool called ``name``, one of :data:`POOLS`.

    Args:
        name: ``prefork`` and ``solo`` run one job at a time in the main thread; more at once are more processes.
        concurrency: how many jobs run at once in this process, in the other pools.
        limits: time limits of the jobs.

    Raises:
        ConfigurationError: there is no such pool, it can't enforce a hard limit, or one process can't report so many
            jobs.
    """
    limits.check_pool(name)
    if name == "async":
        return AsyncPool(concurrency, limits)
    if name == "threads":
        return ThreadPool(concurrency, limits)
    if name in ("prefork", "solo"):
        return MainThreadPool(limits)
    raise ConfigurationError(f"there is no pool {name!r}: use {', '.join(POOLS)}")
