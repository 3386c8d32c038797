"""A TCP proxy between a client and Redis that makes the network misbehave on command."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.ports import free_port

CHUNK = 65536
AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
BLOBS = (b"$", b"=", b"!")


class RedisProxy:
    """Forwards to a server on 127.0.0.1 until told otherwise. Its own port stays the same over :meth:`refuse`.

    Args:
        server_port: where the server listens.
        password: part of :attr:`url`; the proxy itself doesn't look at it.
    """

    def __init__(self, server_port: int, password: str | None = None) -> None:
        self.server_port = server_port
        self.port = free_port()
        self.password = password
        self.commands = 0
        """Commands that clients have sent so far."""
        self.swallowed = 0
        """Replies that were dropped so far."""
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._delay_seconds = 0.0
        self._plans: list[_Swallow] = []
        self._pairs: set[_Pair] = set()
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        """What a client connects to."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._pairs)

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse, cut everything, end the threads."""
        self.refuse()
        self._open.set()

    def pass_through(self) -> None:
        """Behave again: no delay, nothing swallowed, what was held back is delivered, connections are accepted."""
        with self._lock:
            self._delay_seconds = 0.0
            self._plans.clear()
        self.accept()
        self._open.set()

    def delay(self, milliseconds: float) -> None:
        """Hold every reply for so long."""
        self._delay_seconds = milliseconds / 1000

    def swallow_reply(self, nth: int = 1, *, containing: bytes = b"", close: bool = False) -> None:
        """Forward the ``nth`` command from now on to the server, and drop its reply.

        Args:
            nth: 1 is the next one.
            containing: counts only commands whose bytes contain this, such as ``b"EVALSHA"`` or a script's SHA-1.
            close: close the connection in place of the reply; else the client waits in vain.
        """
        with self._lock:
            self._plans.append(_Swallow(nth, containing, close))

    def black_hole(self) -> None:
        """Nothing gets through in either direction, new connections too, until :meth:`pass_through` delivers it."""
        self._open.clear()

    def half_open(self) -> None:
        """The server's side of each connection is gone, and the client isn't told."""
        for pair in self._all_pairs():
            pair.silent = True
            _hang_up(pair.upstream)

    def cut(self) -> None:
        """Reset every connection. New ones are accepted."""
        for pair in self._all_pairs():
            self._end(pair)

    def refuse(self) -> None:
        """Reset every connection and refuse new ones, as a server that is down does."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _hang_up(listener)
        self.cut()

    def accept(self) -> None:
        """Take connections again after :meth:`refuse`."""
        if self._listener is not None:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._thread(self._serve, self._listener)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # refuse() closed it
                return
            self._thread(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        try:
            upstream = socket.create_connection(("127.0.0.1", self.server_port), timeout=5)
        except OSError:
            _reset(client)
            return
        upstream.settimeout(None)
        for side in (client, upstream):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client, upstream)
        with self._lock:
            self._pairs.add(pair)
            refused = self._listener is None
        if refused:
            self._end(pair)
        self._thread(self._pump, pair, client, upstream, self._request)
        self._thread(self._pump, pair, upstream, client, self._reply)

    def _pump(
        self, pair: _Pair, source: socket.socket, sink: socket.socket, keep: Callable[[_Pair, bytes], bool]
    ) -> None:
        frames = _frames(source)
        with contextlib.suppress(OSError):
            for frame in frames:
                self._open.wait()
                if keep(pair, frame):
                    sink.sendall(frame)
        if not pair.silent:
            self._end(pair)

    def _request(self, pair: _Pair, frame: bytes) -> bool:
        with self._lock:
            self.commands += 1
            due = [plan for plan in self._plans if plan.containing in frame]
            for plan in due:
                plan.nth -= 1
            hit = next((plan for plan in due if plan.nth == 0), None)
            if hit:
                self._plans.remove(hit)
            pair.pending.append(hit)
        return not pair.silent

    def _reply(self, pair: _Pair, frame: bytes) -> bool:
        if self._delay_seconds:
            time.sleep(self._delay_seconds)
        if frame.startswith(b">"):  # pushed by the server, answers no command
            return True
        with self._lock:
            plan = pair.pending.popleft() if pair.pending else None
            self.swallowed += plan is not None
        if plan and plan.close:
            self._end(pair)
        return plan is None

    def _all_pairs(self) -> list[_Pair]:
        with self._lock:
            return list(self._pairs)

    def _end(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)
        _reset(pair.client)
        _hang_up(pair.upstream)

    def _thread(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name="redis-proxy", daemon=True).start()


@dataclass(slots=True)
class _Swallow:
    nth: int
    containing: bytes
    close: bool


@dataclass(slots=True, eq=False)
class _Pair:
    client: socket.socket
    upstream: socket.socket
    pending: deque[_Swallow | None] = field(default_factory=deque)
    """One entry per unanswered command: what is to happen to its reply."""
    silent: bool = False


def _frames(source: socket.socket) -> Iterator[bytes]:
    """The commands or replies that arrive, each whole."""
    buffer = b""
    while True:
        end = _frame_end(buffer, 0)
        if end is not None:
            yield buffer[:end]
            buffer = buffer[end:]
            continue
        data = source.recv(CHUNK)
        if not data:
            return
        buffer += data


def _frame_end(data: bytes, start: int) -> int | None:
    """Where the RESP value (2 or 3) at ``start`` ends; None while a part of it is missing."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, rest, end = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind in BLOBS and rest != b"-1":
        end += int(rest) + 2
        return end if end <= len(data) else None
    if kind not in AGGREGATES or rest == b"-1":
        return end
    # an attribute (|) comes before the value that it belongs to
    for _ in range(int(rest) * AGGREGATES[kind] + (kind == b"|")):
        inner = _frame_end(data, end)
        if inner is None:
            return None
        end = inner
    return end


def _hang_up(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)  # wakes a thread that blocks in recv or accept
    side.close()


def _reset(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.shutdown(socket.SHUT_RD)  # wakes a thread that blocks in recv, and would keep the connection up
    side.close()
