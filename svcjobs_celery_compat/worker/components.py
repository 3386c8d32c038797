"""The steps of a worker, by Celery's names: others are placed before and after them."""

from __future__ import annotations

import threading
from typing import Any

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.exceptions import WorkerTerminate
from svcjobs_celery_compat.names import own_name
from svcjobs_celery_compat.utils.imports import symbol_by_name
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.timer2 import Timer as TimerThread
from svcjobs_celery_compat.worker import state

__all__ = ("Beat", "Consumer", "Hub", "Pool", "StateDB", "Timer")

logger = get_logger("celery.worker")


class Timer(bootsteps.Step):
    """Calls what is due, in a thread."""

    def create(self, w: Any) -> None:
        w.timer = TimerThread(max_interval=w.timer_precision, on_error=self._on_error, on_exit=self._on_exit)

    @staticmethod
    def _on_error(exc: BaseException) -> None:
        logger.error("Timer error: %r", exc, exc_info=exc)

    @staticmethod
    def _on_exit(exc: SystemExit) -> None:
        if isinstance(exc, WorkerTerminate):
            state.should_terminate = state.exit_code(exc.code)
        else:
            state.should_stop = state.exit_code(exc.code)


class Hub(bootsteps.StartStopStep):
    """Celery's event loop; the engine has its own."""

    requires = (Timer,)

    def __init__(self, w: Any, **kwargs: Any) -> None:
        w.hub = None
        super().__init__(w, **kwargs)

    def include_if(self, w: Any) -> bool:
        return False


class Pool(bootsteps.StartStopStep):
    """Those who run the tasks."""

    requires = (Hub,)

    def __init__(self, w: Any, autoscale: Any = None, **kwargs: Any) -> None:
        w.pool = None
        super().__init__(w, **kwargs)

    def create(self, w: Any) -> Any:
        w.pool = w.make_pool()
        return w.pool

    def start(self, w: Any) -> None:
        w.pool.start()
        w.crew.start()

    def close(self, w: Any) -> None:
        w.pool.close()

    def stop(self, w: Any) -> None:
        w.crew.stop(w.grace_seconds)
        w.crew.join()
        w.pool.stop()

    def terminate(self, w: Any) -> None:
        w.crew.stop(0)
        w.crew.join()
        w.pool.terminate()

    def info(self, w: Any) -> dict[str, Any]:
        return {"pool": w.pool.info if w.pool else "N/A"}


class Beat(bootsteps.StartStopStep):
    """The scheduler, in a thread (``-B``)."""

    label = "Beat"
    conditional = True

    def __init__(self, w: Any, beat: bool = False, **kwargs: Any) -> None:
        self.enabled = w.beat = beat
        w.beat = None
        super().__init__(w, beat=beat, **kwargs)

    def create(self, w: Any) -> Any:
        from svcjobs_celery_compat.beat import EmbeddedService

        w.beat = EmbeddedService(w.app, schedule_filename=w.schedule_filename, scheduler_cls=w.scheduler, thread=True)
        return w.beat


class StateDB(bootsteps.Step):
    """Keeps what was revoked in a file."""

    def __init__(self, w: Any, **kwargs: Any) -> None:
        self.enabled = w.statedb
        w._persistence = None
        super().__init__(w, **kwargs)

    def create(self, w: Any) -> None:
        w._persistence = state.Persistent(state, w.statedb, w.app.clock)


class Consumer(bootsteps.StartStopStep):
    """The connection to the broker; serving it is what the worker's own thread does."""

    last = True

    def create(self, w: Any) -> Any:
        own = {
            "controller": w, "app": w.app, "hostname": w.hostname, "pool": w.pool, "timer": w.timer,
            "prefetch_multiplier": w.prefetch_multiplier,
            "initial_prefetch_count": w.concurrency * w.prefetch_multiplier,
        }  # fmt: skip
        w.consumer = symbol_by_name(own_name(w.consumer_cls))(**{**w.options, **own})
        return w.consumer


def in_thread(target: Any, name: str) -> threading.Thread:
    """A started daemon thread."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
