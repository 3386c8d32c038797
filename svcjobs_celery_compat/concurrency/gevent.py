"""``-P gevent``: green threads aren't used here; the tasks run in threads of the system."""

from __future__ import annotations

import warnings
from typing import Any

from svcjobs_celery_compat.concurrency.thread import TaskPool as ThreadPool
from svcjobs_celery_compat.exceptions import CeleryWarning

__all__ = ("TaskPool",)


class TaskPool(ThreadPool):
    """Threads; a warning tells."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "the pool gevent isn't supported: tasks run in threads; use -P threads, or -P async for async def tasks",
            CeleryWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)
