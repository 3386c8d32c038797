"""Logging of workers and tasks: ``app.log``."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from typing import Any

from kombu.utils.encoding import set_default_encoding_file

from svcjobs_celery_compat import signals
from svcjobs_celery_compat._state import get_current_task
from svcjobs_celery_compat.local import class_property
from svcjobs_celery_compat.platforms import isatty
from svcjobs_celery_compat.utils.log import (
    ColorFormatter,
    LoggingProxy,
    get_logger,
    get_multiprocessing_logger,
    mlevel,
    reset_multiprocessing_logger,
)
from svcjobs_celery_compat.utils.nodenames import node_format
from svcjobs_celery_compat.utils.term import colored

__all__ = ("Logging", "TaskFormatter")

MP_LOG = os.environ.get("MP_LOG", False)


class TaskFormatter(ColorFormatter):
    """Writes lines with ``%(task_name)s`` and ``%(task_id)s`` of the task that runs; ``???`` outside of tasks."""

    def format(self, record: logging.LogRecord) -> str:
        task = get_current_task()
        if task and task.request:
            record.__dict__.update(task_id=task.request.id, task_name=task.name)
        else:
            record.__dict__.setdefault("task_name", "???")
            record.__dict__.setdefault("task_id", "???")
        return super().format(record)


class Logging:
    """Sets up logging, once in a process.

    :param app: its settings count.
    """

    #: whether logging is set up in this process
    _setup = False

    def __init__(self, app: Any) -> None:
        self.app = app
        self.loglevel = mlevel(logging.WARNING)
        self.format = app.conf.worker_log_format
        self.datefmt = app.conf.worker_log_datefmt
        self.task_format = app.conf.worker_task_log_format
        self.task_datefmt = app.conf.worker_task_log_datefmt
        self.colorize = app.conf.worker_log_color

    def setup(
        self,
        loglevel: Any = None,
        logfile: Any = None,
        redirect_stdouts: bool = False,
        redirect_level: Any = "WARNING",
        colorize: bool | None = None,
        hostname: str | None = None,
    ) -> Any:
        """Set up logging, and let what is printed be logged.

        :param loglevel: by name or number (default: WARNING).
        :param logfile: path, or a stream (default: standard error); ``%n`` and the like are expanded for `hostname`.
        :param redirect_stdouts: log what is printed.
        :param redirect_level: with this level.
        :param colorize: use colors (default: on a terminal).
        :returns: whether the application set logging up itself, by :data:`~.signals.setup_logging`.
        """
        loglevel = mlevel(loglevel)
        handled = self.setup_logging_subsystem(loglevel, logfile, colorize=colorize, hostname=hostname)
        if not handled and redirect_stdouts:
            self.redirect_stdouts(redirect_level)
        # for subprocesses of another start method
        os.environ.update(CELERY_LOG_LEVEL=str(loglevel) if loglevel else "", CELERY_LOG_FILE=str(logfile or ""))
        return handled

    def redirect_stdouts(self, loglevel: Any = None, name: str = "celery.redirected") -> None:
        """Log what is printed, to the logger of that name."""
        self.redirect_stdouts_to_logger(get_logger(name), loglevel=loglevel)
        os.environ.update(CELERY_LOG_REDIRECT="1", CELERY_LOG_REDIRECT_LEVEL=str(loglevel or ""))

    def setup_logging_subsystem(
        self,
        loglevel: Any = None,
        logfile: Any = None,
        format: str | None = None,
        colorize: bool | None = None,
        hostname: str | None = None,
        datefmt: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Set up the root logger and that of tasks, unless the application does, or it is done.

        :returns: true if a receiver of :data:`~.signals.setup_logging` did it.
        """
        if self.already_setup:
            return None
        if logfile and hostname:
            logfile = node_format(logfile, hostname)
        loglevel = mlevel(loglevel or self.loglevel)
        format = format or self.format
        datefmt = self.datefmt if datefmt is None else datefmt
        colorize = self.supports_color(colorize, logfile)
        reset_multiprocessing_logger()
        receivers = signals.setup_logging.send(
            sender=None, loglevel=loglevel, logfile=logfile, format=format, colorize=colorize
        )
        for _, response in receivers:
            if isinstance(response, Exception):
                raise response
        if not receivers:
            self._setup_own(loglevel, logfile, format, colorize, datefmt, **kwargs)
        else:
            with suppress(AttributeError):  # billiard may have none
                get_multiprocessing_logger().addHandler(logging.NullHandler())
        # pool processes are told by the environment
        os.environ.update(
            _MP_FORK_LOGLEVEL_=str(loglevel),
            _MP_FORK_LOGFILE_=str(logfile or ""),
            _MP_FORK_LOGFORMAT_=format or "",
        )
        Logging._setup = True
        return receivers

    def _setup_own(
        self, loglevel: int, logfile: Any, format: str, colorize: bool, datefmt: str | None, **kwargs: Any
    ) -> None:
        root = logging.getLogger()
        if self.app.conf.worker_hijack_root_logger:
            root.handlers = []
            get_logger("celery").handlers = []
            get_logger("celery.task").handlers = []
            get_logger("celery.redirected").handlers = []
        self._configure_logger(root, logfile, loglevel, format, colorize, datefmt=datefmt, **kwargs)
        self._configure_logger(
            get_multiprocessing_logger(),
            logfile,
            loglevel if MP_LOG else logging.ERROR,
            format,
            colorize,
            datefmt=datefmt,
            **kwargs,
        )
        signals.after_setup_logger.send(
            sender=None, logger=root, loglevel=loglevel, logfile=logfile, format=format, colorize=colorize
        )
        self.setup_task_loggers(loglevel, logfile, colorize=colorize)

    def _configure_logger(
        self, logger: Any, logfile: Any, loglevel: Any, format: str, colorize: bool | None, **kwargs: Any
    ) -> None:
        if logger is None:
            return
        self.setup_handlers(logger, logfile, format, colorize, **kwargs)
        if loglevel:
            logger.setLevel(loglevel)

    def setup_task_loggers(
        self,
        loglevel: Any = None,
        logfile: Any = None,
        format: str | None = None,
        colorize: bool | None = None,
        propagate: bool = False,
        datefmt: str | None = None,
        **kwargs: Any,
    ) -> logging.Logger:
        """Set up the logger of tasks, and return it."""
        loglevel = mlevel(loglevel or self.loglevel)
        format = format or self.task_format
        datefmt = self.task_datefmt if datefmt is None else datefmt
        colorize = self.supports_color(colorize, logfile)
        logger = self.setup_handlers(
            get_logger("celery.task"), logfile, format, colorize, formatter=TaskFormatter, datefmt=datefmt, **kwargs
        )
        logger.setLevel(loglevel)
        # an int, as for a logger of its own
        logger.propagate = bool(propagate)
        signals.after_setup_task_logger.send(
            sender=None, logger=logger, loglevel=loglevel, logfile=logfile, format=format, colorize=colorize
        )
        return logger

    def redirect_stdouts_to_logger(
        self, logger: logging.Logger, loglevel: Any = None, stdout: bool = True, stderr: bool = True
    ) -> LoggingProxy:
        """Put a :class:`LoggingProxy` in place of standard output and error, and return it."""
        proxy = LoggingProxy(logger, loglevel)
        if stdout:
            sys.stdout = proxy  # as much of a stream as is needed
        if stderr:
            sys.stderr = proxy
        return proxy

    def supports_color(self, colorize: bool | None = None, logfile: Any = None) -> bool:
        """Return whether lines get colors: as it is said, or on a terminal."""
        colorize = self.colorize if colorize is None else colorize
        if self.app.IS_WINDOWS:
            return False
        if colorize or colorize is None:
            # no escape sequences in files
            return logfile is None and bool(isatty(sys.stderr))
        return bool(colorize)

    def colored(self, logfile: Any = None, enabled: bool | None = None) -> colored:
        """Return what makes colored text, if :meth:`supports_color`."""
        return colored(enabled=self.supports_color(enabled, logfile))

    def setup_handlers(
        self,
        logger: logging.Logger,
        logfile: Any,
        format: str,
        colorize: bool | None,
        formatter: Any = ColorFormatter,
        datefmt: str | None = None,
        **kwargs: Any,
    ) -> logging.Logger:
        """Give a logger a handler, unless it has one; return it."""
        if not self._is_configured(logger):
            handler = self._detect_handler(logfile)
            # a formatter of the application's may not take the format of dates
            options = {"use_color": colorize} if datefmt is None else {"use_color": colorize, "datefmt": datefmt}
            handler.setFormatter(formatter(format, **options))
            logger.addHandler(handler)
        return logger

    def _detect_handler(self, logfile: Any = None) -> logging.Handler:
        logfile = sys.__stderr__ if logfile is None else logfile
        set_default_encoding_file(logfile)
        if hasattr(logfile, "write"):
            return logging.StreamHandler(logfile)
        return WatchedFileHandler(logfile, encoding="utf-8")

    def _has_handler(self, logger: logging.Logger) -> bool:
        return any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers or ())

    def _is_configured(self, logger: logging.Logger) -> bool:
        return self._has_handler(logger) and not getattr(logger, "_rudimentary_setup", False)

    def get_default_logger(self, name: str = "celery", **kwargs: Any) -> logging.Logger:
        """Return the logger of that name."""
        return get_logger(name)

    def _get_setup(self) -> bool:
        return Logging._setup

    def _set_setup(self, was_setup: bool) -> None:
        Logging._setup = was_setup

    #: Whether logging is set up in this process.
    already_setup = class_property(_get_setup, _set_setup)
