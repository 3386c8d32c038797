"""What depends on the operating system: signals, daemons, users, pid files, the title of the process."""

from __future__ import annotations

import errno
import os
import platform as _platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from billiard.compat import close_open_fds as _billiard_close_open_fds
from billiard.compat import get_fdmax
from billiard.process import current_process
from kombu.utils.compat import maybe_fileno
from kombu.utils.encoding import safe_str

from svcjobs_celery_compat.local import try_import
from svcjobs_celery_compat.platforms.daemon import DaemonContext, close_open_fds, detached, fd_by_path
from svcjobs_celery_compat.platforms.exits import EX_CANTCREAT, EX_FAILURE, EX_OK, EX_UNAVAILABLE, EX_USAGE
from svcjobs_celery_compat.platforms.pidfile import (
    PIDFILE_FLAGS,
    PIDFILE_MODE,
    LockFailed,
    PIDFile,
    Pidfile,
    create_pidlock,
)
from svcjobs_celery_compat.platforms.signals import (
    SIGMAP,
    SIGNAMES,
    Signals,
    get_signal,
    ignore_signal,
    install_signal_handler,
    reset_signal,
    set_pdeathsig,
    signal_name,
    signals,
)
from svcjobs_celery_compat.platforms.users import (
    check_privileges,
    initgroups,
    maybe_drop_privileges,
    parse_gid,
    parse_uid,
    setgid,
    setgroups,
    setuid,
)

_setproctitle: Callable[[str], Any] | None = getattr(try_import("setproctitle"), "setproctitle", None)

__all__ = (
    "EX_CANTCREAT",
    "EX_FAILURE",
    "EX_OK",
    "EX_UNAVAILABLE",
    "EX_USAGE",
    "IS_WINDOWS",
    "PIDFILE_FLAGS",
    "PIDFILE_MODE",
    "SIGMAP",
    "SIGNAMES",
    "SYSTEM",
    "DaemonContext",
    "IS_macOS",
    "LockFailed",
    "PIDFile",
    "Pidfile",
    "Signals",
    "_billiard_close_open_fds",
    "check_privileges",
    "close_open_fds",
    "create_pidlock",
    "detached",
    "fd_by_path",
    "get_errno_name",
    "get_fdmax",
    "get_signal",
    "ignore_errno",
    "ignore_signal",
    "initgroups",
    "install_signal_handler",
    "isatty",
    "maybe_drop_privileges",
    "maybe_fileno",
    "parse_gid",
    "parse_uid",
    "pyimplementation",
    "reset_signal",
    "set_mp_process_title",
    "set_pdeathsig",
    "set_process_title",
    "setgid",
    "setgroups",
    "setuid",
    "signal_name",
    "signals",
    "strargv",
)

SYSTEM = _platform.system()
IS_macOS = SYSTEM == "Darwin"
IS_WINDOWS = SYSTEM == "Windows"


def pyimplementation() -> str:
    """Return the name of the Python implementation."""
    return _platform.python_implementation()


def isatty(fh: Any) -> Any:
    """Return whether a stream is a terminal; None if it can't tell."""
    try:
        return fh.isatty()
    except AttributeError:
        return None


def get_errno_name(n: int | str) -> int:
    """Return the number of an error given by name, and a number as it is."""
    return getattr(errno, n) if isinstance(n, str) else n


@contextmanager
def ignore_errno(*errnos: int | str, **kwargs: Any) -> Iterator[None]:
    """Let exceptions with one of these error numbers pass: ``with ignore_errno("ENOENT")``.

    :param types: only exceptions of these classes (default: all). (keyword)
    """
    types: tuple[type[BaseException], ...] = kwargs.get("types") or (Exception,)
    numbers = [get_errno_name(number) for number in errnos]
    try:
        yield
    except types as exc:
        if getattr(exc, "errno", None) not in numbers:
            raise


def strargv(argv: list[str]) -> str:
    """Return the arguments of the command line as text, without the program."""
    start = 2 if "manage" in argv[0] else 1
    return " ".join(argv[start:])


def set_process_title(progname: str, info: str | None = None) -> str:
    """Show the process under this name in ``ps``, if the package setproctitle is installed; return the title."""
    title = f"[{progname}]"
    title = f"{title} {info}" if info else title
    if _setproctitle is not None:
        _setproctitle(str(safe_str(title)))
    return title


def set_mp_process_title(progname: str, info: str | None = None, hostname: str | None = None) -> str | None:
    """Do the same, with the name of the pool process in the title. NOSETPS in the environment switches it off."""
    if os.environ.get("NOSETPS"):
        return None
    if hostname:
        progname = f"{progname}: {hostname}"
    name = current_process().name if "billiard.process" in sys.modules else "MainProcess"
    return set_process_title(f"{progname}:{name}", info=info)
