"""A TCP connection that can be cut: what a broker's restart looks like from a client."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.ports import free_port


class Cable:
    """Passes bytes between clients and a port of 127.0.0.1.

    Args:
        port: where the server listens.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._server_port = port
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Close what is open, and refuse new connections."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        ends, self._ends = self._ends, []
        for end in ends:
            _close(end)

    def mend(self) -> None:
        """Take connections again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=[self._listener], daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with contextlib.ExitStack() as closing:
                    closing.callback(client.close)
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                    closing.pop_all()
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=[source, target], daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _close(source)
    _close(target)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
