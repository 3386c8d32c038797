"""Loggers and what they write with.

Loggers have the names that Celery's users configure: ``celery``, ``celery.task``, ``celery.worker.strategy``, …
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kombu.log import LOG_LEVELS
from kombu.log import get_logger as _get_logger
from kombu.utils.encoding import safe_str

from svcjobs_celery_compat.names import celery_name
from svcjobs_celery_compat.utils.term import colored

__all__ = (
    "LOG_LEVELS",
    "ColorFormatter",
    "LoggingProxy",
    "base_logger",
    "get_logger",
    "get_multiprocessing_logger",
    "get_task_logger",
    "in_sighandler",
    "mlevel",
    "reset_multiprocessing_logger",
    "set_in_sighandler",
)

MP_LOG = os.environ.get("MP_LOG", False)

RESERVED_LOGGER_NAMES = {"celery", "celery.task"}

base_logger = logger = _get_logger("celery")
task_logger = _get_logger("celery.task")
worker_logger = _get_logger("celery.worker")

_in_sighandler = False


def set_in_sighandler(value: bool) -> None:
    """Say that a signal handler runs in the main thread now: it mustn't log, since the lock may be held."""
    global _in_sighandler
    _in_sighandler = value


def iter_open_logger_fds() -> Iterator[Any]:
    """Yield the streams that loggers write to, each once; a daemon mustn't close them."""
    seen: set[int] = set()
    loggers = [*logging.Logger.manager.loggerDict.values(), logging.getLogger(None)]
    for known in loggers:
        for handler in getattr(known, "handlers", ()):
            stream = getattr(handler, "stream", None)
            if stream is not None and id(handler) not in seen:
                seen.add(id(handler))
                yield stream


@contextmanager
def in_sighandler() -> Iterator[None]:
    """A block that runs in a signal handler."""
    set_in_sighandler(True)
    try:
        yield
    finally:
        set_in_sighandler(False)


def logger_isa(l: logging.Logger, p: logging.Logger, max: int = 1000) -> bool:  # noqa: E741 - Celery's name
    """Return whether `p` is `l` or one of its parents.

    :raises RuntimeError: the parents form a loop, or there are more than `max`.
    """
    seen: set[logging.Logger] = set()
    current: logging.Logger | None = l
    for _ in range(max):
        if current is p:
            return True
        if current is None:
            return False
        if current in seen:
            raise RuntimeError(f"Logger {l.name!r} parents recursive")
        seen.add(current)
        current = current.parent
    raise RuntimeError(f"Logger hierarchy exceeds {max}")


def _using_logger_parent(parent_logger: logging.Logger, logger_: logging.Logger) -> logging.Logger:
    if not logger_isa(logger_, parent_logger):
        logger_.parent = parent_logger
    return logger_


def get_logger(name: str) -> logging.Logger:
    """Return the logger of that name; modules of this package have loggers of Celery's names.

    It is made a child of ``celery``, so that it is set up with it.
    """
    named: logging.Logger = _get_logger(celery_name(name))
    if logging.root not in (named, named.parent) and named is not base_logger:
        return named if logger_isa(named, base_logger) else _using_logger_parent(base_logger, named)
    return named


def get_task_logger(name: str) -> logging.Logger:
    """Return a logger for a module of tasks: a child of ``celery.task``, whose lines have the task's name and id.

    :raises RuntimeError: the name is one that Celery uses.
    """
    if name in RESERVED_LOGGER_NAMES:
        raise RuntimeError(f"Logger name {name!r} is reserved!")
    return _using_logger_parent(task_logger, get_logger(name))


def mlevel(level: Any) -> int:
    """Return the number of a log level given by its name; 0 for none."""
    if level and not isinstance(level, int):
        return LOG_LEVELS[level.upper()]  # type: ignore[no-any-return]  # of kombu
    return level or 0


class ColorFormatter(logging.Formatter):
    """Writes lines in the color of their level.

    :param fmt: format of a line.
    :param use_color: False: no colors.
    """

    COLORS = colored().names
    colors = {  # noqa: RUF012 - a class attribute that users override
        "DEBUG": COLORS["blue"],
        "WARNING": COLORS["yellow"],
        "ERROR": COLORS["red"],
        "CRITICAL": COLORS["magenta"],
    }

    def __init__(self, fmt: str | None = None, use_color: bool = True, datefmt: str | None = None) -> None:
        super().__init__(fmt, datefmt)
        self.use_color = use_color

    def formatException(self, ei: Any) -> str:
        text = super().formatException(ei or sys.exc_info())
        return str(safe_str(text)) if isinstance(text, (str, bytes)) else text

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        color = self.colors.get(record.levelname)
        if not self.use_color or color is None:
            return message
        # record.msg is shared by all handlers: it is left alone
        try:
            return str(color(safe_str(message)))
        except Exception as exc:  # noqa: BLE001 - a line that can't be colored isn't lost
            return f"<Unrepresentable {type(record.msg)!r}: {exc!r}>"


class LoggingProxy:
    """A stream whose lines go to a logger; it takes the place of ``sys.stdout`` and ``sys.stderr``.

    :param logger: where lines go to.
    :param loglevel: their level, by name or number; default: the logger's.
    """

    mode = "w"
    name: str | None = None
    closed = False
    loglevel = logging.ERROR
    _thread = threading.local()

    def __init__(self, logger: logging.Logger, loglevel: Any = None) -> None:
        self.logger = logger
        self.loglevel = mlevel(loglevel or self.logger.level or self.loglevel)
        self._safewrap_handlers()

    def _safewrap_handlers(self) -> None:
        # a handler that fails reports it on sys.stderr: on this stream, which would log it, which would fail
        for handler in self.logger.handlers:
            handler.handleError = _report_on_real_stderr  # type: ignore[method-assign]  # that's what it is for

    def write(self, data: str | bytes) -> int:
        """Log the text, unless it is white space, or comes from logging it."""
        text = data.decode(errors="replace") if isinstance(data, bytes) else data
        if _in_sighandler:
            print(text, file=sys.__stderr__)
            return len(text)
        if getattr(self._thread, "recurse_protection", False):
            # nobody is to read it twice
            return 0
        if not text or self.closed:
            return 0
        self._thread.recurse_protection = True
        try:
            stripped = text.rstrip("\n") if text.strip() else ""
            if stripped:
                self.logger.log(self.loglevel, safe_str(stripped))
                return len(text)
        finally:
            self._thread.recurse_protection = False
        return 0

    def writelines(self, sequence: Sequence[str]) -> None:
        """Write each of the texts."""
        for part in sequence:
            self.write(part)

    def flush(self) -> None:
        """Do nothing: lines are logged when they are written."""

    def close(self) -> None:
        """Drop what is written from now on."""
        self.closed = True

    def isatty(self) -> bool:
        """Return False: it isn't a terminal."""
        return False


def _report_on_real_stderr(record: logging.LogRecord) -> None:
    if sys.__stderr__ is None:
        return
    with suppress(OSError):  # see logging.Handler.handleError
        traceback.print_exc(None, sys.__stderr__)


def get_multiprocessing_logger() -> Any:
    """Return the logger of billiard, the library of Celery's process pools."""
    from billiard import util

    return util.get_logger()


def reset_multiprocessing_logger() -> None:
    """Forget that logger, so that it is set up anew."""
    from billiard import util

    if hasattr(util, "_logger"):
        util._logger = None


def current_process() -> Any:
    """Return the process object of billiard, or of multiprocessing."""
    from billiard import process

    return process.current_process()


def current_process_index(base: int = 1) -> int | None:
    """Return the number of this pool process, counted from `base`; None or 0 in the main process."""
    index = getattr(current_process(), "index", None)
    return index + base if index is not None else index
