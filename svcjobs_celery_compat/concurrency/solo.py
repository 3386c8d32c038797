"""One task at a time, in the worker's own thread."""

from __future__ import annotations

import os
from typing import Any

from svcjobs_celery_compat.concurrency.base import BasePool, apply_target

__all__ = ("TaskPool",)


class TaskPool(BasePool):
    """One task at a time."""

    engine_pool = "solo"
    body_can_be_buffer = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_apply = apply_target  # type: ignore[method-assign]  # Celery's extension point
        self.limit = 1

    def _get_info(self) -> dict[str, Any]:
        return {
            **super()._get_info(),
            "max-concurrency": 1,
            "processes": [os.getpid()],
            "max-tasks-per-child": None,
            "put-guarded-by-semaphore": True,
            "timeouts": (),
        }
