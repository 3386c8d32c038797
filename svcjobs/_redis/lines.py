"""Connections that the calls of a sync queue take turns on: a command out, its reply in."""

from __future__ import annotations

import os
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

import hiredis
from redis import exceptions
from redis.connection import AbstractConnection

from svcjobs._redis.connections import MOST_CONNECTIONS

READ_BYTES = 1 << 16
_PART = object()
"""What the reader gives while a reply isn't complete: one may be False."""
_NEWS = getattr(hiredis, "PushNotification", ())
"""What a server may say unasked with RESP3, of its maintenance for one; hiredis before 3 has none."""


class Line:
    """An open connection, and its socket, over which commands and replies go without the client's own layers.

    Those take more CPU time than all else of a call. A kind of connection that reads in a way of its own, as that of a
    Sentinel does, goes on doing so.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_plain = type(connection).read_response is AbstractConnection.read_response
        if self._is_plain:
            self._socket = connection._sock  # noqa: SLF001 - what nobody else gives: connected, with TLS, logged in
            read_error = connection._parser.parse_error  # noqa: SLF001 - the classes of errors by their codes
            self._reader = hiredis.Reader(
                protocolError=exceptions.InvalidResponse, replyError=read_error, notEnoughData=_PART
            )
            self._buffer = bytearray(READ_BYTES)

    def ask(self, command: bytes) -> Any:
        """The reply; one that is an error is raised."""
        if not self._is_plain:
            self._connection.send_packed_command((command,), check_health=False)
            return self._connection.read_response()
        try:
            self._send(command)
            reply = self._read()
        except TimeoutError as error:
            raise exceptions.TimeoutError("Timeout reading from socket") from error
        except OSError as error:
            raise exceptions.ConnectionError(f"Error while talking to the server: {error}") from error
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _send(self, command: bytes) -> None:
        self._socket.sendall(command)

    def _read(self) -> Any:
        while (reply := self._reader.gets()) is _PART or isinstance(reply, _NEWS):
            if reply is not _PART:
                continue
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise exceptions.ConnectionError("Connection closed by server.")
            self._reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]  # it takes any buffer
        return reply

    def close(self) -> None:
        self._connection.disconnect()


class Lines:
    """Up to ``MOST_CONNECTIONS`` connections; a call takes a free one, or waits for one.

    It has the two methods of a client that a link needs. The client's own ``execute_command`` and pool cost more CPU
    time than all else of a call (``docs/benchmarks/notes.md``), part of it for looking whether an idle connection still
    is one; a link sends a call again if need be.

    Args:
        client: made by :func:`~svcjobs._redis.connections.derive`; tells the kind of connection and its settings.
        longest_wait_seconds: how long a call waits while others have all the connections.
    """

    def __init__(self, client: Any, longest_wait_seconds: float) -> None:
        self._client = client
        self._longest_wait_seconds = longest_wait_seconds
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._free: deque[Line] = deque()
        self._turns: SimpleQueue[None] = SimpleQueue()  # cheaper than a semaphore
        for _ in range(MOST_CONNECTIONS):
            self._turns.put(None)

    def execute_command(self, *command: Any) -> Any:
        """The reply to a command.

        Raises:
            redis.ResponseError: the server refused it.
            redis.ConnectionError: the connection broke, or none got free in time.
        """
        if self._pid != os.getpid():
            self._begin()  # a forked child may not speak on its parent's connections
        try:
            self._turns.get(timeout=self._longest_wait_seconds)
        except Empty:
            raise exceptions.ConnectionError(f"all {MOST_CONNECTIONS} connections are in use") from None
        try:
            line = self._take() or self._open()
            try:
                reply = line.ask(hiredis.pack_command(command))
            except exceptions.ResponseError:
                self._give_back(line)
                raise
            except BaseException:
                line.close()  # the reply may still be on its way
                raise
            self._give_back(line)
            return reply
        finally:
            self._turns.put(None)

    def _take(self) -> Line | None:
        try:
            return self._free.pop()
        except IndexError:
            return None

    def _give_back(self, line: Line) -> None:
        self._free.append(line)
        if self._closed:  # by another thread, meanwhile
            self.close()

    def _open(self) -> Line:
        pool = self._client.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        connection.connect()  # a first command connects too, but not to where a Sentinel says
        return Line(connection)

    def close(self) -> None:
        """Close the connections; those in use are closed by the calls that use them."""
        self._closed = True
        while line := self._take():
            line.close()
        self._client.close()

    def __del__(self) -> None:
        self.close()  # a connection is part of a cycle: by itself it would stay open until the next collection
