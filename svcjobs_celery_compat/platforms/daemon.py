"""Programs in the background."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Self

from billiard.compat import close_open_fds
from kombu.utils.compat import maybe_fileno

from svcjobs_celery_compat.local import try_import
from svcjobs_celery_compat.platforms.exits import EX_OK
from svcjobs_celery_compat.platforms.pidfile import Pidfile
from svcjobs_celery_compat.platforms.signals import signals
from svcjobs_celery_compat.platforms.users import maybe_drop_privileges

__all__ = ("DAEMON_WORKDIR", "DaemonContext", "close_open_fds", "detached", "fd_by_path")

DAEMON_WORKDIR = "/"


def fd_by_path(paths: Iterable[str]) -> list[int]:
    """Return the open file descriptors of these files."""
    wanted = set()
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - paths are texts, or anything that stat takes
        except OSError:
            continue
        wanted.add((status.st_dev, status.st_ino))
    found = []
    for descriptor in range(1, min(os.sysconf("SC_OPEN_MAX"), 65536)):
        try:
            status = os.fstat(descriptor)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in wanted:
            found.append(descriptor)
    return found


class DaemonContext:
    """A block that runs in the background, as a session of its own; the foreground process ends.

    :param workdir: directory that the process goes to (default: ``/``).
    :param umask: of new files; an octal number as text, or a number.
    :param fake: stay in the foreground, for debugging.
    :param after_chdir: called in the background, in the directory.
    :param after_forkers: run what libraries registered for after a fork.
    """

    _is_open = False

    def __init__(
        self,
        pidfile: str | None = None,
        workdir: str | None = None,
        umask: int | str | None = None,
        fake: bool = False,
        after_chdir: Callable[[], Any] | None = None,
        after_forkers: bool = True,
        **kwargs: Any,
    ) -> None:
        self.workdir = workdir or DAEMON_WORKDIR
        self.umask = int(umask, 8 if umask.startswith("0") else 10) if isinstance(umask, str) else umask
        self.fake = fake
        self.after_chdir = after_chdir
        self.after_forkers = after_forkers
        self.stdfds = (sys.stdin, sys.stdout, sys.stderr)

    def redirect_to_null(self, fd: int | None) -> None:
        """Let a file descriptor lead nowhere."""
        if fd is not None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, fd)
            os.close(null)

    def open(self) -> None:
        """Go to the background."""
        if self._is_open:
            return
        if not self.fake:
            self._detach()
        os.chdir(self.workdir)
        if self.umask is not None:
            os.umask(self.umask)
        if self.after_chdir:
            self.after_chdir()
        if not self.fake:
            # log files and the like, which were opened on purpose, stay open
            from svcjobs_celery_compat.utils.log import iter_open_logger_fds

            close_open_fds([*self.stdfds, *iter_open_logger_fds()])
            for stream in self.stdfds:
                self.redirect_to_null(maybe_fileno(stream))
            if self.after_forkers:
                from billiard import util

                util._run_after_forkers()
        self._is_open = True

    def __enter__(self) -> Self:
        self.open()
        return self

    def close(self, *args: Any) -> None:
        """Forget that this is the background."""
        self._is_open = False

    __exit__ = close

    def _detach(self) -> None:
        if os.fork() != 0:
            os._exit(EX_OK)
        os.setsid()
        # a second time: what isn't the leader of its session never gets a terminal again
        if os.fork() != 0:
            os._exit(EX_OK)


def detached(
    logfile: str | None = None,
    pidfile: str | None = None,
    uid: Any = None,
    gid: Any = None,
    umask: int | str = 0,
    workdir: str | None = None,
    fake: bool = False,
    **opts: Any,
) -> DaemonContext:
    """Return a context whose block runs in the background, as another user if `uid` or `gid` are given.

    Before that it is made sure that log and pid file can be written, so that errors are still seen.

    :raises RuntimeError: the platform has no such processes.
    """
    if not try_import("resource"):
        raise RuntimeError("This platform does not support detach.")
    workdir = os.getcwd() if workdir is None else workdir  # noqa: PTH109 - a text
    # the new owner of an inherited SIGCHLD handler would wait for children of the foreground
    signals.reset("SIGCLD")
    maybe_drop_privileges(uid=uid, gid=gid)

    def after_chdir() -> None:
        if logfile:
            with open(logfile, "a"):  # noqa: PTH123 - a text
                pass
        if pidfile:
            lock = Pidfile(pidfile)
            if not lock.is_locked() or lock.remove_if_stale():
                lock.acquire()
                lock.release()

    return DaemonContext(umask=umask, workdir=workdir, fake=fake, after_chdir=after_chdir, **opts)
