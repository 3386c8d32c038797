"""Changes how many tasks run at once by the load of a worker (``--autoscale``)."""

from __future__ import annotations

import os
import threading
from time import monotonic, sleep
from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.names import own_name
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.threads import bgThread
from svcjobs_celery_compat.worker.components import Pool

__all__ = ("Autoscaler", "WorkerComponent")

logger = get_logger(__name__)
debug, info, error = logger.debug, logger.info, logger.error

AUTOSCALE_KEEPALIVE = float(os.environ.get("AUTOSCALE_KEEPALIVE", 30))
LOOK_EVERY_SECONDS = 1.0


class WorkerComponent(bootsteps.StartStopStep):
    """The autoscaler, where one was asked for."""

    label = "Autoscaler"
    conditional = True
    requires = (Pool,)

    def __init__(self, w: Any, **kwargs: Any) -> None:
        self.enabled = w.autoscale
        w.autoscaler = None
        super().__init__(w, **kwargs)

    def create(self, w: Any) -> Any:
        w.autoscaler = self.instantiate(
            own_name(w.autoscaler_cls), w.pool, w.max_concurrency, w.min_concurrency, worker=w
        )
        return w.autoscaler

    def info(self, w: Any) -> dict[str, Any]:
        return {"autoscaler": w.autoscaler.info()}


class Autoscaler(bgThread):
    """Grows the pool while more tasks run and wait than it holds, and shrinks it after a time without new ones.

    Subclasses have rules of their own (:setting:`worker_autoscaler`): :attr:`qty` is how many tasks there are to run.

    Args:
        pool: the worker's.
        max_concurrency: tasks at once, at most.
        min_concurrency: tasks at once, at least.
        worker: asked for its load.
        keepalive: seconds since the last start of a task, or the last growth, before the pool shrinks.
        mutex: held while the size is changed.
    """

    def __init__(
        self,
        pool: Any,
        max_concurrency: int,
        min_concurrency: int = 0,
        worker: Any = None,
        keepalive: float = AUTOSCALE_KEEPALIVE,
        mutex: Any = None,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.mutex = mutex or threading.RLock()
        self.max_concurrency = max_concurrency
        self.min_concurrency = min_concurrency
        self.keepalive = keepalive
        self.worker = worker
        self._last_scale_up: float | None = None
        self._ran = 0

    def body(self) -> None:
        with self.mutex:
            self.maybe_scale()
        sleep(LOOK_EVERY_SECONDS)

    def maybe_scale(self, req: Any = None) -> None:
        """Look at the load, and change the size where that asks for it."""
        try:
            changed = self._maybe_scale(req)
        except self.worker.consumer.connection_errors as exc:
            debug("The load isn't known, the broker doesn't answer: %r", exc)
            return
        if changed:
            self.pool.maintain_pool()

    def _maybe_scale(self, req: Any = None) -> bool:
        processes, wanted = self.processes, self.qty
        if (more := min(wanted, self.max_concurrency) - processes) > 0:
            self.scale_up(more)
            return True
        if (fewer := processes - max(wanted, self.min_concurrency)) > 0:
            self.scale_down(fewer)
            return True
        return False

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:
        """Have other limits, and hold them at once; returns both.

        Raises:
            ValueError: the pool can't have so many.
        """
        with self.mutex:
            if max is not None:
                self.pool.check_size(max)
                self.max_concurrency = max
                if (too_many := self.processes - max) > 0:
                    self._shrink(too_many)
            if min is not None:
                self.min_concurrency = min
                if (missing := min - self.processes) > 0:
                    self._grow(missing)
            return self.max_concurrency, self.min_concurrency

    def scale_up(self, n: int) -> None:
        """Run `n` tasks more at once."""
        self._last_scale_up = monotonic()
        self._grow(n)

    def scale_down(self, n: int) -> None:
        """Run `n` tasks less at once, unless a task has started, or the pool has grown, a short while ago."""
        if self._last_scale_up is not None and monotonic() - self._last_scale_up > self.keepalive:
            self._shrink(n)

    def _grow(self, n: int) -> None:
        info("Scaling up %s processes.", n)
        self.pool.grow(n)

    def _shrink(self, n: int) -> None:
        info("Scaling down %s processes.", n)
        try:
            self.pool.shrink(n)
        except ValueError:
            debug("Autoscaler won't scale down: all processes busy.")
        except Exception as exc:  # noqa: BLE001 - the next look tries again
            error("Autoscaler: scale_down: %r", exc, exc_info=True)

    def info(self) -> dict[str, Any]:
        """The part of ``inspect stats`` about it."""
        return {
            "max": self.max_concurrency, "min": self.min_concurrency, "current": self.processes, "qty": self.qty,
        }  # fmt: skip

    @property
    def qty(self) -> int:
        """How many tasks run here, and wait in the queues of the worker."""
        running, ran = self.worker.counts()
        if ran != self._ran:
            self._ran, self._last_scale_up = ran, monotonic()
        return int(running + self.worker.waiting())

    @property
    def processes(self) -> int:
        """How many tasks may run at once."""
        return int(self.pool.num_processes)
