"""Files that hold a process id, so that one program isn't started twice."""

# the built-in functions, which tests of programs replace
# ruff: noqa: PTH100, PTH108, PTH110, PTH123
from __future__ import annotations

import atexit
import errno
import os
import sys
from typing import Any

from svcjobs_celery_compat.platforms.exits import EX_CANTCREAT, EX_FAILURE

__all__ = ("LockFailed", "PIDFile", "Pidfile", "create_pidlock")

PIDFILE_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY
PIDFILE_MODE = 0o644


class LockFailed(Exception):
    """Another process has the file."""


class Pidfile:
    """A lock on a file that holds the pid of its owner; a context manager.

    :param path: of the file.
    """

    path: str

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def acquire(self) -> Pidfile:
        """Write the file.

        :raises LockFailed: there is one.
        """
        try:
            self.write_pid()
        except OSError as exc:
            raise LockFailed(str(exc)) from exc
        return self

    __enter__ = acquire

    def is_locked(self) -> bool:
        """Return whether there is a file."""
        return os.path.exists(self.path)

    def release(self, *args: Any) -> None:
        """Remove the file."""
        self.remove()

    __exit__ = release

    def read_pid(self) -> int | None:
        """Return the pid in the file; None if there is no file.

        :raises ValueError: its content isn't a line with a pid.
        """
        try:
            with open(self.path) as stream:
                content = stream.read()
        except OSError as exc:
            if exc.errno == errno.ENOENT:
                return None
            raise
        if not content.endswith("\n"):
            raise ValueError(f"Partial or invalid pidfile {self.path}")
        try:
            return int(content.splitlines()[0].strip())
        except ValueError:
            raise ValueError(f"pidfile {self.path} contents invalid.") from None

    def remove(self) -> None:
        """Remove the file, if it is there and may be removed."""
        try:
            os.unlink(self.path)
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM):
                raise

    def remove_if_stale(self) -> bool:
        """Remove the file if the process that wrote it is gone, or was this one; return whether it is removed."""
        try:
            pid = self.read_pid()
        except ValueError:
            self._report("Broken pidfile found - Removing it.")
            self.remove()
            return True
        if not pid:
            self.remove()
            return True
        if pid == os.getpid():
            # in a container, each start has the same pid
            self.remove()
            return True
        try:
            os.kill(pid, 0)
        except OSError as exc:
            if exc.errno in (errno.ESRCH, errno.EPERM):
                self._report("Stale pidfile exists - Removing it.")
                self.remove()
                return True
        except SystemError:
            self._report("Stale pidfile exists - Removing it.")
            self.remove()
            return True
        return False

    def _report(self, text: str) -> None:
        print(text, file=sys.stderr)  # noqa: T201 - before logging is set up

    def write_pid(self) -> None:
        """Write the file, on the disk, and read it again."""
        pid = os.getpid()
        content = f"{pid}\n"
        descriptor = os.open(self.path, PIDFILE_FLAGS, PIDFILE_MODE)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        with open(self.path) as stream:
            found = stream.read()
        if found != content:
            raise LockFailed("Inconsistency: Pidfile content doesn't match at re-read")


PIDFile = Pidfile


def create_pidlock(pidfile: str) -> Pidfile:
    """Write the file for this process, or end the process if its owner runs. It is removed at exit."""
    lock = Pidfile(pidfile)
    if lock.is_locked() and not lock.remove_if_stale():
        print(  # noqa: T201 - before logging is set up
            f"ERROR: Pidfile ({pidfile}) already exists.\nSeems we're already running? (pid: {lock.read_pid()})",
            file=sys.stderr,
        )
        raise SystemExit(EX_CANTCREAT)
    try:
        lock.acquire()
    except LockFailed as exc:
        print(f"ERROR: Pidfile ({pidfile}) can't be written: {exc}", file=sys.stderr)  # noqa: T201 - see above
        raise SystemExit(EX_FAILURE) from exc
    atexit.register(_release_in, lock, os.getpid())
    return lock


def _release_in(lock: Pidfile, pid: int) -> None:
    # a forked child isn't its owner
    if os.getpid() == pid:
        lock.release()
