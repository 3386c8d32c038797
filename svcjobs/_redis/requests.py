"""Request ids: they let the server recognise a call that is sent again because its reply was lost."""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from collections.abc import Hashable

KEPT_CALLS = 1000
"""Unanswered calls that are remembered; older ones will hardly be made again."""


class Requests:
    """Hands out request ids.

    The server keeps the last number of a nonce, so a nonce serves one call at a time: calls that run side by
    side get one each, and a call that failed takes its nonce with it (it may yet arrive). A forked child
    starts with none of its parent's.
    """

    def __init__(self) -> None:
        self._idle: deque[tuple[str, int]] = deque()
        self._unanswered: dict[Hashable, list[tuple[str, int]]] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def next(self) -> tuple[str, int]:
        """A nonce and a number that no other call has. Whoever gets an answer to it tells :meth:`answered`."""
        return self._fresh()

    def answered(self, request: tuple[str, int]) -> None:
        """The nonce may serve the next call."""
        self._idle.append(request)

    def next_or_unanswered(self, call: Hashable) -> tuple[str, int]:
        """As :meth:`next`, but nonce and number of such a call that was left :meth:`unanswered`, to get its reply.

        For reserves: one that arrives after its caller gave up, because the server stood still, would lease
        jobs to nobody, and charge them an attempt. For settlements: one that did its work unheard would make its
        repeat a stale one.
        """
        self._forget_after_fork()
        if not self._unanswered:
            return self._fresh()
        with self._lock:
            requests = self._unanswered.get(call, [])
            request = requests.pop() if requests else self._fresh()
            if not requests:
                self._unanswered.pop(call, None)
        return request

    def unanswered(self, call: Hashable, request: tuple[str, int]) -> None:
        """The call failed, and its reply is still of use."""
        with self._lock:
            self._unanswered.setdefault(call, []).append(request)
            if len(self._unanswered) > KEPT_CALLS:
                del self._unanswered[next(iter(self._unanswered))]

    def _fresh(self) -> tuple[str, int]:
        self._forget_after_fork()
        try:
            nonce, number = self._idle.pop()
        except IndexError:
            nonce, number = secrets.token_hex(5), 0
        return nonce, number + 1

    def _forget_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._idle, self._unanswered, self._lock, self._pid = deque(), {}, threading.Lock(), os.getpid()
