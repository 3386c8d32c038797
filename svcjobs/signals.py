"""Signals as something to wait for, beside sockets."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Sequence
from multiprocessing.connection import wait

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """SIGTERM, SIGINT, SIGHUP and SIGCHLD of this process are kept until :meth:`wait` returns them."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in NUMBERS:
            signal.signal(number, _noted)
        self.release()  # held back since the program before this one

    def hold_back(self) -> Sequence[int]:
        """Let the signals wait for the program that this process is about to execute, or until :meth:`release`.

        Returns:
            Those that came before, which nobody else would hear of.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
        return self._came()

    def release(self) -> None:
        """Take signals again, those first that were held back."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)

    def wait(self, seconds: float | None, *sockets: socket.socket) -> Sequence[int]:
        """The signals that came, after ``seconds`` at the latest, or sooner when a socket has something to read."""
        wait([self._read, *sockets], seconds)
        return self._came()

    def _came(self) -> Sequence[int]:
        with contextlib.suppress(BlockingIOError):
            return list(self._read.recv(4096))
        return []

    def close(self) -> None:
        """Restore the default actions."""
        signal.set_wakeup_fd(-1)
        for number in NUMBERS:
            signal.signal(number, signal.SIG_DFL)
        self._read.close()
        self._write.close()


def _noted(number: int, frame: object) -> None:
    """Nothing: the interpreter writes the number to the wake-up socket."""
