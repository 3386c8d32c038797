"""Waits for the sockets of a connection's channels: by itself, and in the event loop of a Celery worker."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

LONGEST_WAIT_SECONDS = 1.0
MOST_PER_TURN = 200
LONGEST_TURN_SECONDS = 0.005
"""After so long a loop gets its turn: where tasks run in it, it sends their acks, and answers remote control."""


class Poller:
    """Channels that consume, the sockets they wait on, and the loop that watches them too.

    In a loop, messages are delivered while it deals with sockets, never in its tick: what a delivery leads to, such as
    a write to a process of the pool, is prepared by other functions of the tick, and they may have run by then. So a
    loop that has something to deliver watches a socket that can always be read.

    Args:
        channels: the connection's channels, a list that changes.
    """

    def __init__(self, channels: list[Any]) -> None:
        self._channels = channels
        self._selector = selectors.DefaultSelector()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._loop: Any = None
        self._readable: tuple[socket.socket, socket.socket] | None = None
        self._hurried = False

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call ``on_readable`` when a socket has something to read."""
        self._callbacks[fd] = on_readable
        self._selector.register(fd, selectors.EVENT_READ)
        if self._loop is not None:
            self._loop.add_reader(fd, on_readable)

    def forget(self, fd: int) -> None:
        """Watch a socket no more; it is still open."""
        if self._callbacks.pop(fd, None) is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)
        if self._loop is not None:
            self._loop.remove_reader(fd)

    def join(self, loop: Any) -> None:
        """Let an event loop watch, and deliver in it."""
        self._loop = loop
        self._readable = socket.socketpair()
        self._readable[1].send(b".")  # nobody reads it
        for fd, on_readable in self._callbacks.items():
            loop.add_reader(fd, on_readable)
        loop.on_tick.add(self.tick)

    def tick(self) -> None:
        """Wait for what comes next; don't let the loop sleep while there is something to deliver."""
        ready = False
        for channel in list(self._channels):
            if not channel.closed:
                channel.intake.arm()
            ready = ready or channel.intake.ready
        self._hurry(ready)

    def _deliver(self) -> None:
        until = time.monotonic() + LONGEST_TURN_SECONDS
        for channel in list(self._channels):
            for _ in range(MOST_PER_TURN):
                if not channel.intake.deliver() or time.monotonic() >= until:
                    break

    def _hurry(self, ready: bool) -> None:
        if self._readable is None or ready == self._hurried:
            return
        self._hurried = ready
        if ready:
            self._loop.add_reader(self._readable[0], self._deliver)
        else:
            self._loop.remove_reader(self._readable[0])

    def deliver_one(self) -> bool:
        """Hand one message of any channel to its consumer, taking turns; whether there was one."""
        for channel in list(self._channels):
            if channel.intake.deliver():
                if channel in self._channels:
                    self._channels.remove(channel)
                    self._channels.append(channel)
                return True
        return False

    def wait(self, seconds: float | None) -> None:
        """Return when there may be something to deliver, after ``seconds`` at the latest."""
        for channel in list(self._channels):
            channel.intake.arm()
        if any(channel.intake.ready for channel in self._channels):
            return
        limit = LONGEST_WAIT_SECONDS if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)
        if not self._callbacks:
            time.sleep(limit)
            return
        for key, _ in self._selector.select(limit):
            on_readable = self._callbacks.get(key.fd)
            if on_readable:
                on_readable()

    def close(self) -> None:
        """Leave the loop, and close."""
        self._hurry(False)
        if self._loop is not None:
            self._loop.on_tick.discard(self.tick)
            self._loop = None
        if self._readable is not None:
            for end in self._readable:
                end.close()
            self._readable = None
        self._selector.close()
