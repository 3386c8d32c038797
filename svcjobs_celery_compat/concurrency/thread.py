"""Tasks in threads."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.concurrency.base import BasePool

__all__ = ("TaskPool",)


class TaskPool(BasePool):
    """Threads, each with one task at a time."""

    engine_pool = "threads"
    body_can_be_buffer = True
    signal_safe = False

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "threads": self.limit}
