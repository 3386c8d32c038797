"""The worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svcjobs_celery_compat.worker.worker import WorkController

__all__ = ("WorkController",)


def __getattr__(name: str) -> Any:
    # loaded when it is used: what calls tasks needs the state of a worker, and nothing else of it
    if name == "WorkController":
        from svcjobs_celery_compat.worker.worker import WorkController

        globals()[name] = WorkController
        return WorkController
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
