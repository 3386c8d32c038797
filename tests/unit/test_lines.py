"""What comes over a connection's own socket: replies in parts, errors by their classes, news that nobody asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis import exceptions
from redis._parsers import BaseParser
from redis.connection import AbstractConnection

from svcjobs._redis.lines import Line

COMMAND = b"*1\r\n$4\r\nPING\r\n"


class Plain(AbstractConnection):
    """A connection that was made somehow."""

    def __init__(self, end: socket.socket) -> None:
        self._sock = end
        self._parser = SimpleNamespace(parse_error=BaseParser.parse_error)

    def __del__(self) -> None:
        self._sock.close()

    def _connect(self) -> None: ...

    def _host_error(self) -> str:
        return "here"

    def repr_pieces(self) -> list[Any]:
        return []


class OfItsOwnKind(Plain):
    def __init__(self, end: socket.socket) -> None:
        super().__init__(end)
        self.sent: list[bytes] = []

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self.sent += command

    def read_response(self, *args: Any, **kwargs: Any) -> str:
        return "read in its own way"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    mine, servers = socket.socketpair()
    mine.settimeout(5)
    yield mine, servers
    mine.close()
    servers.close()


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (b"+PONG\r\n", b"PONG"),
        (b"*2\r\n$1\r\na\r\n$-1\r\n", [b"a", None]),
        (b"#f\r\n", False),
        (b">2\r\n+news\r\n+of it\r\n+PONG\r\n", b"PONG"),
    ],
    ids=["a line", "a list", "false", "news first"],
)
def test_a_reply_is_read_in_whatever_parts_it_comes(
    ends: tuple[socket.socket, socket.socket], said: bytes, reply: Any
) -> None:
    mine, servers = ends
    line = Line(Plain(mine))
    servers.sendall(said)
    assert line.ask(COMMAND) == reply
    assert servers.recv(100) == COMMAND
    for byte in said:  # the reader has to keep what isn't a reply yet
        line._reader.feed(bytes([byte]))
    assert line._read() == reply


def test_an_error_is_raised_by_its_class(ends: tuple[socket.socket, socket.socket]) -> None:
    mine, servers = ends
    line = Line(Plain(mine))
    servers.sendall(b"-NOSCRIPT No matching script\r\n+OK\r\n")
    with pytest.raises(exceptions.NoScriptError):
        line.ask(COMMAND)
    assert line.ask(COMMAND) == b"OK", "the connection can be used on"


def test_a_server_that_hangs_up_or_is_silent_is_told_apart(ends: tuple[socket.socket, socket.socket]) -> None:
    mine, servers = ends
    mine.settimeout(0.01)
    line = Line(Plain(mine))
    with pytest.raises(exceptions.TimeoutError):
        line.ask(COMMAND)
    servers.shutdown(socket.SHUT_RDWR)
    with pytest.raises(exceptions.ConnectionError):
        line.ask(COMMAND)


def test_a_connection_that_reads_in_its_own_way_does_so(ends: tuple[socket.socket, socket.socket]) -> None:
    connection = OfItsOwnKind(ends[0])
    assert Line(connection).ask(COMMAND) == "read in its own way"
    assert connection.sent == [COMMAND]
