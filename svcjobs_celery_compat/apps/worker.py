"""The worker as a program: its log, its banner, and its signals."""

from __future__ import annotations

import logging
import os
import platform as _platform
import sys
from datetime import datetime
from typing import Any

from kombu.utils.encoding import safe_str

from svcjobs_celery_compat import VERSION_BANNER, signals
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.platforms import EX_OK, check_privileges
from svcjobs_celery_compat.transport.leftovers import warn_of_leftovers
from svcjobs_celery_compat.utils.log import get_logger, in_sighandler
from svcjobs_celery_compat.utils.text import pluralize
from svcjobs_celery_compat.worker import WorkController

__all__ = ("Worker",)

logger = get_logger(__name__)

_original_os_write = os.write

BANNER = """\
{hostname} v{version}

{platform} {timestamp}

[config]
.> app:         {app}
.> transport:   {conninfo}
.> results:     {results}
.> concurrency: {concurrency}
.> task events: {events}

[queues]
{queues}
"""
EXTRA_INFO_FMT = """
[tasks]
{tasks}
"""
AT_LEAST_ONCE = (
    "a task whose worker is lost while it runs isn't run again, and fails with WorkerLostError (acks early, as in "
    "Celery). For tasks that may run twice, set task_acks_late = True: then each runs at least once."
)


def safe_say(msg: str, f: Any = sys.__stderr__) -> None:
    """Write a line, whatever is wrong with the stream."""
    try:
        _original_os_write(f.fileno(), f"\n{msg}\n".encode("utf-8", "replace"))
    except Exception:  # noqa: BLE001 - it may be called while a signal is handled
        return


class Worker(WorkController):
    """A worker that writes a log, and tells who it is when it starts."""

    def on_before_init(self, quiet: bool = False, **kwargs: Any) -> None:
        self.quiet = quiet
        trace.setup_worker_optimizations(self.app, self.hostname)
        # handlers may change the settings
        signals.celeryd_init.send(sender=self.hostname, instance=self, conf=self.app.conf, options=kwargs)
        check_privileges(self.app.conf.accept_content)

    def on_after_init(
        self,
        purge: bool = False,
        no_color: bool | None = None,
        redirect_stdouts: bool | None = None,
        redirect_stdouts_level: Any = None,
        **kwargs: Any,
    ) -> None:
        either = self.app.either
        self.redirect_stdouts = either("worker_redirect_stdouts", redirect_stdouts)
        self.redirect_stdouts_level = either("worker_redirect_stdouts_level", redirect_stdouts_level)
        self.purge = purge
        self.no_color = no_color
        self._isatty = bool(sys.stdout and sys.stdout.isatty())
        self.colored = self.app.log.colored(self.logfile, enabled=not no_color if no_color is not None else no_color)

    def on_init_blueprint(self) -> None:
        self._custom_logging = self.setup_logging()

    def setup_queues(self, include: Any, exclude: Any = None) -> None:
        super().setup_queues(include, exclude)
        signals.celeryd_after_setup.send(sender=self.hostname, instance=self, conf=self.app.conf)

    def log_prints(self) -> None:
        """Let what tasks print go to the log, unless a handler of :signal:`setup_logging` has set that up."""
        if self.redirect_stdouts and not self._custom_logging:
            self.app.log.redirect_stdouts(self.redirect_stdouts_level)

    def on_start(self) -> None:
        super().on_start()
        if not self.quiet:
            self.emit_banner()
        self.log_prints()
        self._warn()
        if self.purge:
            self.purge_messages()

    def on_consumer_ready(self, consumer: Any) -> None:
        logger.info("%s ready.", safe_str(self.hostname))

    def _warn(self) -> None:
        if not self.app.conf.task_acks_late:
            logger.info(AT_LEAST_ONCE)
        with self.app.connection_for_read() as connection:
            connection.connect()
            warn_of_leftovers(connection, self.app.amqp.queues.consume_from)

    def emit_banner(self) -> None:
        """Tell who this is."""
        print(
            safe_str(f"{self.colored.cyan(' ', self.startup_info())}\n{self.colored.reset(self.extra_info() or '')}"),
            file=sys.__stdout__,
            flush=True,
        )

    def setup_logging(self, colorize: bool | None = None) -> Any:
        """Set up the log, unless a handler of :signal:`setup_logging` does."""
        if colorize is None and self.no_color is not None:
            colorize = not self.no_color
        return self.app.log.setup(
            self.loglevel, self.logfile, redirect_stdouts=False, colorize=colorize, hostname=self.hostname
        )

    def purge_messages(self) -> None:
        """Remove all messages that wait."""
        conf = self.app.conf
        retries = conf.broker_connection_retry_on_startup
        with self.app.connection_for_write() as connection:
            if conf.broker_connection_retry if retries is None else retries:
                connection.ensure_connection(self._cant_connect, conf.broker_connection_max_retries)
            else:
                connection.connect()
            count = self.app.control.purge(connection=connection)
        if count:
            print(f"purge: Erased {count} {pluralize(count, 'message')} from the queue.\n", flush=True)  # noqa: T201

    @staticmethod
    def _cant_connect(exc: BaseException, interval: float) -> None:
        logger.error("Cannot connect to the broker: %s. Trying again in %s s", exc, interval)

    def tasklist(self, include_builtins: bool = True, sep: str = "\n", int_: str = "celery.") -> str:
        """The names of the tasks."""
        names = sorted(name for name in self.app.tasks if include_builtins or not name.startswith(int_))
        return sep.join(f"  . {name}" for name in names)

    def extra_info(self) -> str | None:
        """The list of tasks, where the log shows so much."""
        if self.loglevel is None or self.loglevel > logging.INFO:
            return None
        return EXTRA_INFO_FMT.format(tasks=self.tasklist(include_builtins=self.loglevel <= logging.DEBUG))

    def startup_info(self, artlines: bool = True) -> str:
        """The banner."""
        app = self.app
        concurrency = str(self.concurrency)
        if self.autoscale:
            concurrency = f"{{min={self.min_concurrency}, max={self.max_concurrency}}}"
        name = f"{app.main or '__main__'}:{id(app):#x}"
        if not isinstance(self.pool_cls, str):
            concurrency += f" ({self.pool_cls.__module__.split('.')[-1]})"
        events = "ON" if self.task_events else "OFF (enable -E to monitor tasks in this worker)"
        return BANNER.format(
            app=name, hostname=safe_str(self.hostname), timestamp=datetime.now().replace(microsecond=0),
            version=VERSION_BANNER, conninfo=app.connection().as_uri(), results=app.backend.as_uri(),
            concurrency=concurrency, platform=safe_str(_platform.platform()), events=events,
            queues=app.amqp.queues.format(indent=0, indent_first=False),
        )  # fmt: skip


def _shutdown_handler(
    worker: Any, sig: str = "SIGTERM", how: str = "Warm", callback: Any = None, exitcode: int = EX_OK,
    verbose: bool = True,
) -> None:  # fmt: skip
    """Let a signal stop a worker that runs in the main thread: a first one warm, a second one at once."""
    import signal

    def handle(*_: Any) -> None:
        with in_sighandler():
            if callback:
                callback(worker)
            if verbose:
                safe_say(f"worker: {how} shutdown (MainProcess)", sys.__stdout__)
            signals.worker_shutting_down.send(sender=worker.hostname, sig=sig, how=how, exitcode=exitcode)
            worker.grace_seconds = 0 if how == "Cold" or worker.exitcode is not None else worker.grace_seconds
            worker.exitcode = exitcode
            worker.consumer.stop()

    handle.__name__ = f"worker_{how}"
    signal.signal(getattr(signal, sig), handle)
