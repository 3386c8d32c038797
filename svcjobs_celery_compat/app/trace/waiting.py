"""Running a traced task to its end where nobody awaits it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Generator
from typing import Any

Steps = Generator[Coroutine[Any, Any, Any], Any, Any]
"""A traced run that stops where the body is a coroutine, to be sent what that returns."""


def driven(steps: Steps) -> Any:
    """Run a trace to its end; a body that is a coroutine is waited for."""
    try:
        coroutine = next(steps)
        while True:
            try:
                value = _waited_for(coroutine)
            except BaseException as exc:  # noqa: BLE001 - it is the body's, and belongs into the trace
                coroutine = steps.throw(exc)
            else:
                coroutine = steps.send(value)
    except StopIteration as stop:
        return stop.value


def _waited_for(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # a loop runs in this thread, which waits here
    outcome: list[Any] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.extend((context.run(asyncio.run, coroutine), None))
        except BaseException as exc:  # noqa: BLE001 - raised in the thread that waits
            outcome.extend((None, exc))

    thread = threading.Thread(target=work, name="svcjobs-eager-task")
    thread.start()
    thread.join()
    value, error = outcome
    if error is not None:
        raise error
    return value
