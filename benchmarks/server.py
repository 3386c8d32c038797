"""A server of our own, and readings of its counters."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from tests.server_program import ServerProgram, choose_server
from tests.servers import RedisServer

REQUEST = b"INFO all\r\n"


def start_server(program: ServerProgram) -> RedisServer:
    """A fresh server, without persistence, that dies with this process."""
    return RedisServer(program).start()


def chosen_program() -> ServerProgram:
    """The server program, chosen as for the tests (SVCJOBS_TEST_SERVER).

    Raises:
        SystemExit: there is none.
    """
    program = choose_server()
    if program is None:
        raise SystemExit("no Redis or Valkey server here: install one, or run `python -m tests.server_program fetch`")
    return program


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of a server since its start. ``memory`` is without that of client connections."""

    commands: int
    bytes_in: int
    bytes_out: int
    cpu_seconds: float
    memory: int
    reply_bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a server did between two readings, the readings themselves left out."""

    commands: int
    bytes_in: int
    bytes_out: int
    cpu_seconds: float


class ServerMeter:
    """Reads the counters over a bare socket, so that the reading's own bytes are known and can be left out."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=10)
        self._replies = self._socket.makefile("rb")

    def read(self) -> Reading:
        """The counters now."""
        self._socket.sendall(REQUEST)
        header = self._replies.readline()
        body = self._replies.read(int(header[1:]) + 2)
        lines = (line.partition(":") for line in body.decode().splitlines() if ":" in line)
        info = {name: value for name, _, value in lines}
        return Reading(
            commands=sum(_calls(value) for name, value in info.items() if _is_counted(name)),
            bytes_in=int(info["total_net_input_bytes"]),
            bytes_out=int(info["total_net_output_bytes"]),
            cpu_seconds=float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
            memory=int(info["used_memory"]) - int(info["mem_clients_normal"]),
            reply_bytes=len(header) + len(body),
        )

    def read_settled(self) -> Reading:
        """The counters once memory stands still: the server frees client buffers and moves its key table by and by."""
        last = self.read()
        while True:
            time.sleep(0.25)  # twice the period of the server's own clean-up, and a bit
            now = self.read()
            if now.memory == last.memory:
                return now
            last = now

    def since(self, first: Reading) -> Change:
        """What changed since a reading."""
        last = self.read()
        return Change(
            commands=last.commands - first.commands,
            bytes_in=last.bytes_in - first.bytes_in - len(REQUEST),
            # the first reading's reply went out after its counters were read
            bytes_out=last.bytes_out - first.bytes_out - first.reply_bytes,
            cpu_seconds=last.cpu_seconds - first.cpu_seconds,
        )

    def close(self) -> None:
        """Close the socket."""
        self._replies.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _is_counted(name: str) -> bool:
    return name.startswith("cmdstat_") and name != "cmdstat_info"


def _calls(value: str) -> int:
    return int(value.partition(",")[0].removeprefix("calls="))
