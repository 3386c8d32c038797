"""Waiting for something to become true, in place of a sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 20.0
"""How long a busy machine may take. A test that promises a time says so itself."""


def eventually(predicate: Callable[[], T], timeout: float = PATIENCE_SECONDS, message: str = "") -> T:
    """Call ``predicate`` until it returns something true, and return that.

    An AssertionError inside it counts as not yet; any other error is raised at once.

    Args:
        predicate: asked every 10 ms, once more at the very end.
        timeout: seconds to wait at most; less than the default is a claim about time, see tests/alone.py.
        message: what was waited for, said in the failure.

    Raises:
        AssertionError: it never became true; says the last value or the last failed assertion.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value, seen = _ask(predicate)
        if value:
            return value
        if late:
            raise AssertionError(_failure(message, timeout, seen))
        time.sleep(POLL_SECONDS)


async def eventually_async(
    predicate: Callable[[], T],
    timeout: float = PATIENCE_SECONDS,  # noqa: ASYNC109  # it raises with what it saw last
    message: str = "",
) -> T:
    """:func:`eventually` for a coroutine: the event loop runs on while it waits."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value, seen = _ask(predicate)
        if value:
            return value
        if late:
            raise AssertionError(_failure(message, timeout, seen))
        await asyncio.sleep(POLL_SECONDS)


def _ask(predicate: Callable[[], T]) -> tuple[T | None, str]:
    try:
        value = predicate()
    except AssertionError as error:
        return None, f"the last failed assertion: {error}"
    return value, f"the last value: {value!r}"


def _failure(message: str, timeout: float, seen: str) -> str:
    return f"{message or 'the condition'} didn't come true within {timeout:g} s; {seen}"
