"""Counts what a process sends to Redis: round trips and commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import hiredis
import redis.asyncio.connection
import redis.connection

from svcjobs._redis.lines import Line


@dataclass(slots=True)
class Wire:
    """Sends, of one command or a whole pipeline, and commands in them."""

    round_trips: int = 0
    commands: int = 0


@contextmanager
def watched_wire() -> Iterator[Wire]:
    """Count what every connection of redis-py in this process sends, and every line of ours.

    It counts where the bytes leave, so it holds for whatever is built on redis-py. Rates are taken without it.
    """
    wire = Wire()
    sync, asynchronous = redis.connection.AbstractConnection, redis.asyncio.connection.AbstractConnection

    def sends(original: Callable[..., Any]) -> Callable[..., Any]:
        def send(*args: Any, **kwargs: Any) -> Any:
            wire.round_trips += 1
            return original(*args, **kwargs)

        return send

    def packs(original: Callable[..., Any]) -> Callable[..., Any]:
        def pack(*args: Any, **kwargs: Any) -> Any:
            wire.commands += 1
            return original(*args, **kwargs)

        return pack

    with ExitStack() as stack:
        for owner in (sync, asynchronous):
            stack.enter_context(patch.object(owner, "send_packed_command", sends(owner.send_packed_command)))
        stack.enter_context(patch.object(Line, "_send", sends(Line._send)))
        # what packs a command, of redis-py's sync connections and of ours; those of asyncio have their own
        stack.enter_context(patch.object(hiredis, "pack_command", packs(hiredis.pack_command)))
        stack.enter_context(patch.object(asynchronous, "pack_command", packs(asynchronous.pack_command)))
        yield wire
