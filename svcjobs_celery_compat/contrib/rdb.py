"""A debugger for tasks, by telnet: ``from svcjobs_celery_compat.contrib import rdb; rdb.set_trace()``.

The worker says which port it waits at. CELERY_RDB_HOST and CELERY_RDB_PORT in the environment set where (default:
127.0.0.1, from 6899 on): who can connect runs any code, so keep it on this host.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress
from pdb import Pdb
from types import FrameType
from typing import Any, Self

from billiard.process import current_process

__all__ = ("CELERY_RDB_HOST", "CELERY_RDB_PORT", "DEFAULT_PORT", "Rdb", "debugger", "set_trace")

DEFAULT_PORT = 6899

CELERY_RDB_HOST = os.environ.get("CELERY_RDB_HOST") or "127.0.0.1"
CELERY_RDB_PORT = int(os.environ.get("CELERY_RDB_PORT") or DEFAULT_PORT)

#: The debugger of this process.
_current: list[Any] = [None]

_frame = sys._getframe


class Rdb(Pdb):
    """pdb over a socket; it waits for a client.

    :param host: address that it listens at.
    :param port: the first port that is tried.
    :param port_search_limit: how many ports are tried.
    :param port_skew: is added to the port.
    :param out: stream that says where to connect to.
    """

    me = "Remote Debugger"
    _prev_outs: Any = None
    _sock: Any = None

    def __init__(
        self,
        host: str = CELERY_RDB_HOST,
        port: int = CELERY_RDB_PORT,
        port_search_limit: int = 100,
        port_skew: int = 0,
        out: Any = sys.stdout,
    ) -> None:
        self.active = True
        self.out = out
        self._prev_handles = sys.stdin, sys.stdout
        self._sock, this_port = self.get_avail_port(host, port, port_search_limit, port_skew)
        self._sock.setblocking(True)
        self._sock.listen(1)
        self.ident = f"{self.me}:{this_port}"
        self.host = host
        self.port = this_port
        self.say(f"{self.ident}: Ready to connect: telnet {self.host} {self.port}")
        self.say("Type `exit` in the session to go on.")
        self._client, address = self._sock.accept()
        self._client.setblocking(True)
        self.remote_addr = ":".join(str(part) for part in address)
        self.say(f"{self.ident}: Now in session with {self.remote_addr}.")
        self._handle = sys.stdin = self._client.makefile("rw")
        super().__init__(completekey="tab", stdin=self._handle, stdout=self._handle)

    def get_avail_port(self, host: str, port: int, search_limit: int = 100, skew: int = 0) -> tuple[Any, int]:
        """Return a bound socket and its port; each pool process begins at another one.

        :raises Exception: all ports that are tried are in use.
        """
        with suppress(ValueError, IndexError):
            _, number = current_process().name.split("-")
            skew = int(number)
        for offset in range(search_limit):
            this_port = port + skew + offset
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, this_port))
            except OSError as exc:
                listener.close()
                if exc.errno in (errno.EADDRINUSE, errno.EINVAL):
                    continue
                raise
            return listener, this_port
        raise OSError(
            errno.EADDRINUSE, f"{self.me}: the ports from {port} on are in use; set CELERY_RDB_PORT to another one"
        )

    def say(self, m: str) -> None:
        """Tell who reads the worker's output."""
        print(m, file=self.out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close_session()

    def _close_session(self) -> None:
        sys.stdin, sys.stdout = self._prev_handles
        if self.active:
            for stream in (self._handle, self._client, self._sock):
                if stream is not None:
                    stream.close()
            self.active = False
            self.say(f"{self.ident}: Session with {self.remote_addr} ended.")

    def do_continue(self, arg: str) -> bool | None:
        """Go on with the task."""
        self._close_session()
        self.set_continue()
        return True

    do_c = do_cont = do_continue

    def do_quit(self, arg: str) -> bool | None:
        """End the session; the task goes on."""
        self._close_session()
        self.set_quit()
        return True

    do_q = do_exit = do_quit

    def set_quit(self) -> None:
        # pdb would raise BdbQuit in the task
        sys.settrace(None)

    def set_trace(self, frame: Any = None, **kwargs: Any) -> None:
        """Stop at the line that is next in `frame` (default: the caller's)."""
        try:
            super().set_trace(_frame().f_back if frame is None else frame)
        except OSError as exc:
            # the client went away, which isn't the task's fault
            if exc.errno != errno.ECONNRESET:
                raise


def debugger() -> Any:
    """Return the debugger of this process, or make one."""
    rdb = _current[0]
    if rdb is None or not rdb.active:
        rdb = _current[0] = Rdb()
    return rdb


def set_trace(frame: FrameType | None = None) -> Any:
    """Stop here, or in `frame`, and wait for a client."""
    if frame is None:
        frame = _frame().f_back
    return debugger().set_trace(frame)
