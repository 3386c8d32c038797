"""An event loop for a thread that runs one handler at a time, some of which are coroutines."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from svcjobs.interruption import Interruptible
from svcjobs.limits import Alarm
from svcjobs.pools.slots import Run
from svcjobs.result import JobResult
from svcjobs.settlement import Ack, Bury, Fail, Release

_VALUES = frozenset((type(None), Ack, Fail, Bury, Release, JobResult))  # what most handlers return
LEFT_SECONDS = 1.0
"""How long what a handler has left running may take to end."""


class OwnLoop:
    """Made by the first coroutine, and kept for the next ones."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def finish(self, value: object, alarms: Sequence[Alarm] = (), run: Run | None = None) -> object:
        """``value``, awaited when it is to be.

        Args:
            value: what a handler returned.
            alarms: what is raised in it, and when.
            run: the job it belongs to; when that was cancelled before there was anything to await, it is now.
        """
        if type(value) in _VALUES or not inspect.isawaitable(value):
            return value
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        coroutine = cast("Coroutine[Any, Any, object]", value if inspect.iscoroutine(value) else _await(value))
        layers = [coroutine]
        for alarm in alarms:
            layers.append(_limited(layers[-1], alarm))
        self._task = self._loop.create_task(layers[-1])
        if run is not None and run.cancelled:
            self._task.cancel()
        try:
            return self._loop.run_until_complete(self._task)
        finally:
            self._task = None
            for layer in layers:  # of one that was cancelled before it began
                layer.close()

    def cancel(self) -> bool:
        """Cancel the coroutine that runs; False when none does. From any thread."""
        loop, task = self._loop, self._task
        if loop is None or task is None:
            return False
        loop.call_soon_threadsafe(task.cancel)
        return True

    def close(self) -> None:
        """End the loop, and what handlers have left running in it."""
        if self._loop is None:
            return
        if left := asyncio.all_tasks(self._loop):
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left, timeout=LEFT_SECONDS))
        self._loop.close()


async def _await(value: Any) -> object:
    return await value


async def _limited(coroutine: Coroutine[Any, Any, object], alarm: Alarm) -> object:
    return await Interruptible(coroutine, *alarm)
