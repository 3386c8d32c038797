"""Coroutines in an event loop in the main thread, plain functions in threads beside it."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence

from svcjobs.application import Application
from svcjobs.execution import execute, is_cancelled
from svcjobs.job import Job
from svcjobs.limits import Limits, limits_of
from svcjobs.pools.slots import Ended, Run, Slots
from svcjobs.threads import Threads

HEARTBEAT_SECONDS = 0.5
LONGEST_STRETCH_SECONDS = 0.005
"""After so long without a pause a lane lets the event loop turn."""


class AsyncPool:
    """Runs jobs in lanes: tasks that run one job after the other, as long as any wait.

    A handler that awaits nothing costs no task and no turn of the loop. Lanes are opened one by one while jobs wait,
    so that only handlers that do wait for something open more than one.

    Args:
        concurrency: how many jobs run at once.
        limits: their time limits.
    """

    ended: Ended

    def __init__(self, concurrency: int, limits: Limits) -> None:
        self.slots = Slots(concurrency)
        self._limits = limits
        self._threads = Threads("svcjobs-handler")
        self._lanes: dict[asyncio.Task[None], Run | None] = {}
        self._opening = False
        self._heart_at: float | None = None

    @property
    def loop_at(self) -> float | None:
        return self._heart_at

    def run(self, application: Application, begin: Callable[[], object]) -> None:
        asyncio.run(self._run(application, begin))

    async def _run(self, application: Application, begin: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._application = application
        self._context = contextvars.copy_context()
        self._beat()
        await application.startup()
        try:
            begin()
            await self._stopped.wait()
        finally:
            await application.shutdown()
            self._threads.close()

    def start(self, jobs: Sequence[Job]) -> None:
        self.slots.put(jobs)
        self._call(self._open_lane)

    def resize(self, concurrency: int) -> None:
        self.slots.resize(concurrency)
        self._call(self._open_lane)

    def cancel(self, run: Run) -> None:
        run.cancelled = True
        self._call(self._cancel, run)

    def stop(self) -> None:
        self._call(self._stopped.set)

    def _call(self, function: Callable[..., object], *args: Run) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return  # the loop has ended

    def _beat(self) -> None:
        self._heart_at = time.monotonic()
        self._loop.call_later(HEARTBEAT_SECONDS, self._beat)

    def _open_lane(self) -> None:
        self._opening = False
        if self.slots.waiting and len(self._lanes) < self.slots.concurrency:
            lane = self._loop.create_task(self._lane(), context=self._context.copy())
            self._lanes[lane] = None
            lane.add_done_callback(self._close_lane)

    def _close_lane(self, lane: asyncio.Task[None]) -> None:
        self._lanes.pop(lane, None)
        if self.slots.waiting:
            self._open_lane()

    async def _lane(self) -> None:
        lane = asyncio.current_task()
        assert lane is not None  # noqa: S101 - this is a task
        turned = time.monotonic()
        while run := self.slots.take():
            if not self._opening and self.slots.waiting:
                self._opening = True
                self._loop.call_soon(self._open_lane)
            self._lanes[lane] = run
            await self._execute(run)
            self._lanes[lane] = None
            if contextvars.copy_context() != self._context:
                return  # the handler has left something in this context: the next job gets a fresh one
            if time.monotonic() - turned > LONGEST_STRETCH_SECONDS:
                await asyncio.sleep(0)
                turned = time.monotonic()

    async def _execute(self, run: Run) -> None:
        job, limits = run.job, limits_of(run.job, self._limits, kills=False)
        execution = None
        try:
            execution = await execute(
                job, self._application, self._threads, limits.timeout_seconds, limits.soft_seconds, limits.soft_error
            )
        except asyncio.CancelledError:
            if not run.cancelled:
                raise  # not ours: the loop is being torn down
        finally:
            while is_cancelled() and run.cancelled:
                asyncio.current_task().uncancel()  # type: ignore[union-attr]
            self.slots.leave(run, execution)
            self.ended(run, execution)

    def _cancel(self, run: Run) -> None:
        for lane, its_run in self._lanes.items():
            if its_run is run:
                lane.cancel()
                return
