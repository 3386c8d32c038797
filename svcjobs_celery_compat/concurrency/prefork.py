"""Each task in a process that runs one at a time."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import signals
from svcjobs_celery_compat._state import _set_task_join_will_block, set_default_app
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.concurrency.base import BasePool

__all__ = ("TaskPool", "process_destructor", "process_initializer")


def process_initializer(app: Any, hostname: str) -> None:
    """Prepare a process that runs tasks of `app`: tracers, current app, loader, and the signal of `hostname`."""
    _set_task_join_will_block(True)
    app.loader.init_worker()
    app.loader.init_worker_process()
    app.set_current()
    set_default_app(app)
    app.finalize()
    trace.setup_worker_optimizations(app, hostname)
    for name, task in app.tasks.items():
        task.__trace__ = trace.build_tracer(name, task, app.loader, hostname, app=app)
    signals.worker_process_init.send(sender=hostname)


def process_destructor(pid: int, exitcode: int | None, hostname: str | None = None) -> None:
    """Tell that a process that ran tasks ends."""
    signals.worker_process_shutdown.send(sender=hostname, pid=pid, exitcode=exitcode)


class TaskPool(BasePool):
    """Processes, each with one task at a time: the only pool with hard time limits."""

    engine_pool = "prefork"
    uses_semaphore = True

    def restart(self) -> None:
        """Replace the processes one by one."""
        if "crew" not in self.options:
            return super().restart()
        self.options["crew"].restart()
        return None

    def _get_info(self) -> dict[str, Any]:
        hard, soft = self.options.get("timeout") or 0, self.options.get("soft_timeout") or 0
        return {
            **super()._get_info(),
            "processes": list(self.options["crew"].pids) if "crew" in self.options else [],
            "max-tasks-per-child": self.options.get("maxtasksperchild") or "N/A",
            "put-guarded-by-semaphore": self.putlocks,
            "timeouts": (soft, hard),
            "writes": {},
        }
