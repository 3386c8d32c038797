"""``async def`` tasks in an event loop, others in threads beside it. Celery has no such pool."""

from __future__ import annotations

from svcjobs_celery_compat.concurrency.thread import TaskPool as ThreadPool

__all__ = ("TaskPool",)


class TaskPool(ThreadPool):
    """An event loop, and threads."""

    engine_pool = "async"
