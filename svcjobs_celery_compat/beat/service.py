"""The service: a scheduler that runs until it is stopped."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from typing import Any

from svcjobs_celery_compat import beat, platforms, signals
from svcjobs_celery_compat.beat.choice import chosen
from svcjobs_celery_compat.beat.persistent import PersistentScheduler
from svcjobs_celery_compat.utils.imports import load_extension_class_names, symbol_by_name
from svcjobs_celery_compat.utils.nodenames import default_nodename, host_format
from svcjobs_celery_compat.utils.time import humanize_seconds

NODENAME_DEFAULT = "celerybeat"


def beat_nodename(hostname: str | None = None) -> str:
    """The name of beat among the nodes: ``celerybeat@host`` by default.

    Args:
        hostname: a host, or a whole name; ``%h``, ``%n`` and ``%d`` are replaced.
    """
    return host_format(default_nodename(hostname, NODENAME_DEFAULT))


class Service:
    """Runs a scheduler.

    Args:
        app: the app.
        max_interval: most seconds between looks at the schedule; ``beat_max_loop_interval`` by default.
        schedule_filename: for schedulers that keep a file; ``beat_schedule_filename`` by default.
        scheduler_cls: the scheduler's class, or its name.
        remote_control: whether to answer pings; ``beat_enable_remote_control`` by default.
        hostname: see :func:`beat_nodename`.

    Attributes:
        effective_max_interval: the interval that the scheduler chose, once it runs.
    """

    scheduler_cls: Any = PersistentScheduler

    def __init__(
        self,
        app: Any,
        max_interval: float | None = None,
        schedule_filename: str | None = None,
        scheduler_cls: Any = None,
        remote_control: bool | None = None,
        hostname: str | None = None,
    ) -> None:
        self.app = app
        self.max_interval = max_interval or app.conf.beat_max_loop_interval
        self.scheduler_cls = scheduler_cls or self.scheduler_cls
        self.schedule_filename = schedule_filename or app.conf.beat_schedule_filename
        self.remote_control = app.conf.beat_enable_remote_control if remote_control is None else remote_control
        self.hostname = hostname
        self.effective_max_interval: float | None = None
        self._last_tick: float | None = None
        self._pidbox: Any = None
        self._is_shutdown = threading.Event()
        self._is_stopped = threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (
            self.app,
            self.max_interval,
            self.schedule_filename,
            self.scheduler_cls,
            self.remote_control,
            self.hostname,
        )

    def start(self, embedded_process: bool = False) -> None:
        """Run until :meth:`stop`, or until interrupted.

        Args:
            embedded_process: whether this is a process of its own within a worker.
        """
        beat.info("beat: Starting...")
        self.effective_max_interval = self.scheduler.max_interval
        beat.debug("beat: Ticking with max interval->%s", humanize_seconds(self.scheduler.max_interval))
        signals.beat_init.send(sender=self)
        if embedded_process:
            signals.beat_embedded_init.send(sender=self)
            platforms.set_process_title("celery beat")
        self._last_tick = time.monotonic()
        if self.remote_control:
            self._pidbox = beat.BeatPidbox(self)
            self._pidbox.start()
        try:
            while not self._is_shutdown.is_set():
                self._tick()
        except (KeyboardInterrupt, SystemExit):
            self._is_shutdown.set()
        finally:
            if self._pidbox is not None:
                self._pidbox.stop()
            self.sync()

    def _tick(self) -> None:
        interval = self.scheduler.tick()
        self._last_tick = time.monotonic()
        if interval and interval > 0:
            beat.debug("beat: Waking up %s.", humanize_seconds(interval, prefix="in "))
            self._is_shutdown.wait(interval)
            if self.scheduler.should_sync():
                self.scheduler._do_sync()  # the service tells when

    def sync(self) -> None:
        """Close the scheduler."""
        self.scheduler.close()
        self._is_stopped.set()

    def stop(self, wait: bool = False) -> None:
        """Have it stop.

        Args:
            wait: until it did.
        """
        beat.info("beat: Shutting down...")
        self._is_shutdown.set()
        if wait:
            self._is_stopped.wait()

    def get_scheduler(self, lazy: bool = False, extension_namespace: str = "celery.beat_schedulers") -> Any:
        """A scheduler of the class that was chosen.

        Args:
            lazy: whether it leaves the schedule alone.
            extension_namespace: entry points with short names of classes.
        """
        aliases = dict(load_extension_class_names(extension_namespace))
        return symbol_by_name(chosen(self.app, self.scheduler_cls), aliases=aliases)(
            app=self.app, schedule_filename=self.schedule_filename, max_interval=self.max_interval, lazy=lazy
        )

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler."""
        return self.get_scheduler()
