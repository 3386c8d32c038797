"""What every pool is to those who ask a worker for it. The engine runs the tasks; see :mod:`svcjobs.pools`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from kombu.utils.encoding import safe_repr

from svcjobs_celery_compat.exceptions import WorkerShutdown, WorkerTerminate, reraise
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.text import truncate
from svcjobs_celery_compat.utils.timer2 import Timer

__all__ = ("BasePool", "apply_target")

logger = get_logger("celery.pool")


def apply_target(
    target: Callable[..., Any],
    args: Any = (),
    kwargs: Any = None,
    callback: Any = None,
    accept_callback: Any = None,
    pid: int | None = None,
    getpid: Callable[[], int] = os.getpid,
    propagate: tuple[type[BaseException], ...] = (),
    monotonic: Callable[[], float] = time.monotonic,
    **_: Any,
) -> None:
    """Call `target` here, with the callbacks that a pool has."""
    if accept_callback:
        accept_callback(pid or getpid(), monotonic())
    try:
        result = target(*args, **(kwargs or {}))
    except propagate:
        raise
    except (WorkerShutdown, WorkerTerminate):
        raise
    except Exception:
        raise
    except BaseException as exc:  # noqa: BLE001 - in a process of its own it would have ended that
        try:
            reraise(WorkerLostError, WorkerLostError(repr(exc)), exc.__traceback__)
        except WorkerLostError:
            callback(ExceptionInfo())
    else:
        callback(result)


class BasePool:
    """A pool of a worker.

    Args:
        limit: how many tasks run at once.
        app: of the worker.
    """

    RUN, CLOSE, TERMINATE = 1, 2, 3
    Timer = Timer

    #: The name of the engine's pool.
    engine_pool = "threads"
    signal_safe = True
    is_green = False
    uses_semaphore = False
    task_join_will_block = True
    body_can_be_buffer = False
    _state: int | None = None
    _pool: Any = None
    _does_debug = True

    def __init__(
        self,
        limit: int | None = None,
        putlocks: bool = True,
        forking_enable: bool = True,
        callbacks_propagate: Any = (),
        app: Any = None,
        **options: Any,
    ) -> None:
        self.limit = limit
        self.putlocks = putlocks
        self.options = options
        self.forking_enable = forking_enable
        self.callbacks_propagate = callbacks_propagate
        self.app = app
        self._does_debug = logger.isEnabledFor(logging.DEBUG)
        #: What changes the number of tasks at once, and its largest value; set by the worker.
        self.resize: Callable[[int], object] | None = None
        self.most: int | None = None
        #: What ends the task that a process runs; set by the worker.
        self.end_task: Callable[[int, Any], object] | None = None

    def on_start(self) -> None:
        """The pool is about to start."""

    def did_start_ok(self) -> bool:
        """Whether it started."""
        return True

    def flush(self) -> None:
        """Nothing is kept back."""

    def on_stop(self) -> None:
        """The pool is about to stop."""

    def register_with_event_loop(self, loop: Any) -> None:
        """There is nothing in it for an event loop."""

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        """Run a call that :meth:`apply_async` got."""

    def on_terminate(self) -> None:
        """The pool is about to stop at once."""

    def on_soft_timeout(self, job: Any) -> None:
        """Soft limits are the engine's."""

    def on_hard_timeout(self, job: Any) -> None:
        """Hard limits are the engine's."""

    def maintain_pool(self, *args: Any, **kwargs: Any) -> None:
        """The engine replaces processes."""

    def on_close(self) -> None:
        """The pool takes no more."""

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """End the task that process `pid` runs.

        Raises:
            NotImplementedError: nothing can end one.
        """
        if self.end_task is None:
            raise NotImplementedError(f"{type(self)} does not implement kill_job")
        self.end_task(pid, signal)

    def restart(self) -> None:
        """Replace the processes.

        Raises:
            NotImplementedError: there are none.
        """
        raise NotImplementedError(f"{type(self)} does not implement restart")

    def grow(self, n: int = 1) -> None:
        """Run `n` more tasks at once.

        Raises:
            NotImplementedError: nothing can change the number.
            ValueError: that are too many.
        """
        self._resize((self.limit or 1) + n)

    def shrink(self, n: int = 1) -> None:
        """Run `n` tasks less at once, one at least."""
        self._resize(max(1, (self.limit or 1) - n))

    def _resize(self, limit: int) -> None:
        if self.resize is None:
            raise NotImplementedError(f"{type(self)} has a fixed size")
        self.check_size(limit)
        self.resize(limit)
        self.limit = limit

    def check_size(self, limit: int) -> None:
        """Whether so many tasks could run at once.

        Raises:
            ValueError: they couldn't.
        """
        if self.most is not None and limit > self.most:
            raise ValueError(f"this pool runs at most {self.most} tasks at once, not {limit}: start more workers")

    def start(self) -> None:
        """Start."""
        self.on_start()
        self._state = self.RUN

    def stop(self) -> None:
        """Stop."""
        self.on_stop()
        self._state = self.TERMINATE

    def terminate(self) -> None:
        """Stop at once."""
        self._state = self.TERMINATE
        self.on_terminate()

    def close(self) -> None:
        """Take no more."""
        self._state = self.CLOSE
        self.on_close()

    def apply_async(self, target: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Call `target`."""
        args, kwargs = args or [], kwargs or {}
        if self._does_debug:
            logger.debug(
                "TaskPool: Apply %s (args:%s kwargs:%s)",
                target, truncate(safe_repr(args), 1024), truncate(safe_repr(kwargs), 1024),
            )  # fmt: skip
        return self.on_apply(
            target, args, kwargs, waitforslot=self.putlocks, callbacks_propagate=self.callbacks_propagate, **options
        )

    def _get_info(self) -> dict[str, Any]:
        module = type(self).__module__.replace("svcjobs_celery_compat", "celery")
        return {"implementation": f"{module}:{type(self).__name__}", "max-concurrency": self.limit}

    @property
    def info(self) -> dict[str, Any]:
        """What ``inspect stats`` says of it."""
        return self._get_info()

    @property
    def active(self) -> bool:
        """Whether it runs."""
        return self._state == self.RUN

    @property
    def num_processes(self) -> int | None:
        """How many tasks run at once."""
        return self.limit
