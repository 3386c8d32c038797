"""The program ``celery beat``."""

from __future__ import annotations

import logging
import socket
import sys
from datetime import datetime
from types import FrameType
from typing import Any

import svcjobs_celery_compat
from svcjobs_celery_compat import beat, platforms
from svcjobs_celery_compat.utils.imports import qualname
from svcjobs_celery_compat.utils.log import LOG_LEVELS, get_logger
from svcjobs_celery_compat.utils.time import humanize_seconds

__all__ = ("Beat",)

STARTUP_INFO_FMT = """
LocalTime -> {timestamp}
Configuration ->
    . broker -> {conninfo}
    . loader -> {loader}
    . scheduler -> {scheduler}
{scheduler_info}
    . logfile -> {logfile}@%{loglevel}
    . maxinterval -> {hmax_interval} ({max_interval}s)
""".strip()

logger = get_logger("celery.beat")


class Beat:
    """Runs the scheduler of an app as a program: with a banner, logging, a pid file and signals.

    Args:
        max_interval: most seconds between looks at the schedule.
        app: the app.
        socket_timeout: seconds that a connection may hang.
        pidfile: file for the number of this process.
        no_color: whether logs have no colours; those of terminals have them by default.
        loglevel: by name or number.
        logfile: of the log; standard error by default.
        schedule: the file, for schedulers that keep one; ``beat_schedule_filename`` by default.
        scheduler: the scheduler's class, or its name; ``beat_scheduler`` by default.
        scheduler_cls: the same.
        redirect_stdouts: whether what is printed is logged; ``worker_redirect_stdouts`` by default.
        redirect_stdouts_level: on which level.
        quiet: whether to leave out the banner.
        remote_control: whether to answer pings; ``beat_enable_remote_control`` by default.
        hostname: see :func:`svcjobs_celery_compat.beat.beat_nodename`.
        **kwargs: taken and left aside.
    """

    Service = beat.Service
    app: Any = None

    def __init__(
        self,
        max_interval: int | None = None,
        app: Any = None,
        socket_timeout: int = 30,
        pidfile: str | None = None,
        no_color: bool | None = None,
        loglevel: int | str = "WARN",
        logfile: str | None = None,
        schedule: str | None = None,
        scheduler: Any = None,
        scheduler_cls: Any = None,
        redirect_stdouts: bool | None = None,
        redirect_stdouts_level: str | None = None,
        quiet: bool = False,
        remote_control: bool | None = None,
        hostname: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app or self.app
        either = self.app.either
        self.loglevel = LOG_LEVELS[loglevel.upper()] if isinstance(loglevel, str) else loglevel
        self.logfile = logfile
        self.schedule = either("beat_schedule_filename", schedule)
        self.scheduler_cls = either("beat_scheduler", scheduler, scheduler_cls)
        self.redirect_stdouts = either("worker_redirect_stdouts", redirect_stdouts)
        self.redirect_stdouts_level = either("worker_redirect_stdouts_level", redirect_stdouts_level)
        self.quiet = quiet
        self.remote_control = remote_control
        self.hostname = hostname
        self.max_interval = max_interval
        self.socket_timeout = socket_timeout
        self.no_color = no_color
        self.colored = self.app.log.colored(self.logfile, enabled=None if no_color is None else not no_color)
        self.pidfile = pidfile

    def run(self) -> None:
        """Run until a signal."""
        if not self.quiet:
            print(self.colored.cyan(f"celery beat v{svcjobs_celery_compat.VERSION_BANNER} is starting."))  # noqa: T201
        self.init_loader()
        self.set_process_title()
        self.start_scheduler()

    def setup_logging(self, colorize: bool | None = None) -> None:
        """Set up the log."""
        if colorize is None and self.no_color is not None:
            colorize = not self.no_color
        self.app.log.setup(
            self.loglevel, self.logfile, self.redirect_stdouts, self.redirect_stdouts_level, colorize=colorize
        )

    def start_scheduler(self) -> None:
        """Run the scheduler; what it raises is logged, and ends the program."""
        if self.pidfile:
            platforms.create_pidlock(self.pidfile)
        service = self.Service(
            app=self.app,
            max_interval=self.max_interval,
            scheduler_cls=self.scheduler_cls,
            schedule_filename=self.schedule,
            remote_control=self.remote_control,
            hostname=self.hostname,
        )
        if not self.quiet:
            print(self.banner(service))  # noqa: T201
        self.setup_logging()
        if self.socket_timeout:
            logger.debug("Setting default socket timeout to %r", self.socket_timeout)
            socket.setdefaulttimeout(self.socket_timeout)
        try:
            self.install_sync_handler(service)
            service.start()
        except Exception as exc:
            logger.critical("beat raised exception %s: %r", exc.__class__, exc, exc_info=True)
            raise

    def banner(self, service: Any) -> str:
        """What is said at the start."""
        c = self.colored
        return str(
            c.blue("__    ", c.magenta("-"), c.blue("    ... __   "), c.magenta("-"), c.blue("        _\n"))
            + c.reset(self.startup_info(service))
        )

    def init_loader(self) -> None:
        """Import the app's modules."""
        self.app.loader.init_worker()
        self.app.finalize()

    def startup_info(self, service: Any) -> str:
        """How it is configured, in lines."""
        scheduler = service.get_scheduler(lazy=True)
        lines = STARTUP_INFO_FMT.format(
            conninfo=self.app.connection().as_uri(),
            timestamp=datetime.now().replace(microsecond=0),
            logfile=self.logfile or "[stderr]",
            loglevel=logging.getLevelName(self.loglevel),
            loader=qualname(self.app.loader),
            scheduler=qualname(scheduler),
            scheduler_info=scheduler.info,
            hmax_interval=humanize_seconds(scheduler.max_interval),
            max_interval=scheduler.max_interval,
        )
        control = self._remote_control_info(service)
        return "\n".join((lines, control)) if control else lines

    def _remote_control_info(self, service: Any) -> str:
        return f"    . remote control -> {beat.beat_nodename(service.hostname)}" if service.remote_control else ""

    def set_process_title(self) -> None:
        """Show in lists of processes what this one is."""
        info = platforms.strargv(sys.argv)
        platforms.set_process_title("celery beat", info=info)

    def install_sync_handler(self, service: Any) -> None:
        """On SIGTERM and SIGINT, store the schedule and exit."""

        def stop(signum: int, frame: FrameType | None) -> None:
            service.sync()
            raise SystemExit

        platforms.signals.update(SIGTERM=stop, SIGINT=stop)
