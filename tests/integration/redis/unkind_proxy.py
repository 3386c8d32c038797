"""A proxy that can also cut a reply in two, and deliver a request long after the client gave it up."""

from __future__ import annotations

import socket

from tests.proxy import RedisProxy, _hang_up, _Pair


class UnkindProxy(RedisProxy):
    """As RedisProxy. ``held`` is the request that was kept back."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self.held: bytes | None = None
        self.answer = b""
        """When it isn't empty, clients get it in place of every reply."""
        self._hold = b""
        self._cut = b""
        self._to_cut: set[_Pair] = set()

    def hold_request(self, containing: bytes) -> None:
        """Keep the next command with these bytes from the server until :meth:`deliver`."""
        self._hold = containing

    def cut_reply(self, containing: bytes) -> None:
        """Close the connection after half the bytes of the reply to the next command with these bytes."""
        self._cut = containing

    def deliver(self) -> bytes:
        """Send the request that was kept back; returns what the server answers."""
        assert self.held is not None
        with socket.create_connection(("127.0.0.1", self.server_port), timeout=5) as late:
            late.sendall(self.held)
            return late.recv(65536)

    def _request(self, pair: _Pair, frame: bytes) -> bool:
        if self._hold and self._hold in frame:
            self.held, self._hold = frame, b""
            return False
        if self._cut and self._cut in frame:
            self._cut = b""
            self._to_cut.add(pair)
        return super()._request(pair, frame)

    def _reply(self, pair: _Pair, frame: bytes) -> bool:
        if pair not in self._to_cut:
            answer, kept = self.answer, super()._reply(pair, frame)
            if answer and kept:
                pair.client.sendall(answer)
            return kept and not answer
        self._to_cut.discard(pair)
        pair.client.sendall(frame[: len(frame) // 2])
        self.swallowed += 1
        _hang_up(pair.client)
        return False
