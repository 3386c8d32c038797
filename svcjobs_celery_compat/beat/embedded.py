"""Beat within a worker."""

from __future__ import annotations

import sys
import threading
from typing import Any

from billiard import ensure_multiprocessing
from billiard.common import reset_signals
from billiard.context import Process

from svcjobs_celery_compat import beat, platforms
from svcjobs_celery_compat.utils.log import iter_open_logger_fds


class _Threaded(threading.Thread):
    """The service in a thread."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(name="Beat", daemon=True)
        self.app = app
        self.service = beat.Service(app, **kwargs)

    def run(self) -> None:
        self.app.set_current()
        self.service.start()

    def stop(self) -> None:
        """Have it stop, and wait until it did."""
        self.service.stop(wait=True)


class _ProcessBeat(Process):
    """The service in a process."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__()
        self.app = app
        self.service = beat.Service(app, **kwargs)
        self.name = "Beat"

    def run(self) -> None:
        reset_signals(full=False)
        platforms.close_open_fds([sys.__stdin__, sys.__stdout__, sys.__stderr__, *iter_open_logger_fds()])
        self.app.set_default()
        self.app.set_current()
        self.service.start(embedded_process=True)

    def stop(self) -> None:
        """End it."""
        self.service.stop()
        self.terminate()


def _process_class() -> type[_ProcessBeat] | None:
    try:
        ensure_multiprocessing()
    except NotImplementedError:
        return None
    return _ProcessBeat


_Process = _process_class()
"""None where there are no processes to be had."""


def EmbeddedService(app: Any, max_interval: float | None = None, **kwargs: Any) -> Any:
    """The service, not started yet: has ``start`` and ``stop``.

    Args:
        app: the app.
        max_interval: most seconds between looks at the schedule; 1 in a thread, which has to stop in time.
        **kwargs: ``thread`` to have a thread and no process; else see :class:`~svcjobs_celery_compat.beat.Service`.
            Pings are answered by the worker, unless ``remote_control`` says otherwise.
    """
    kwargs.setdefault("remote_control", False)
    if kwargs.pop("thread", False) or _Process is None:
        return _Threaded(app, max_interval=1, **kwargs)
    return _Process(app, max_interval=max_interval, **kwargs)
