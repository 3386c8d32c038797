"""One worker process from its first job to its last."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from svcjobs.application import Application
from svcjobs.census import IMPATIENT_AFTER_SECONDS
from svcjobs.runner import WorkerRunner
from svcjobs.scheduler import InMemoryScheduler

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """What a worker process runs.

    Args:
        application: its handler and hooks; None with a schedule only.
        runners: one for each queue.
        scheduler: runs beside them; None without a schedule.
        grace_seconds: how long running jobs may go on after a signal. A second signal ends them at once.
        signals: the ones that stop it.
        one_stop_seconds: signals that come within so short a time are one.
    """

    application: Application | None
    runners: Sequence[WorkerRunner]
    scheduler: InMemoryScheduler | None
    grace_seconds: float
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
    one_stop_seconds: float = IMPATIENT_AFTER_SECONDS

    async def run(self) -> None:
        """Serve until a signal comes, then stop gracefully. Re-raises what ended a part of it by itself."""
        stopping = _stop_signals(self.signals, self.one_stop_seconds)
        if self.application is not None:
            await self.application.startup()
        try:
            await self._serve(stopping)
        finally:
            if self.application is not None:
                await self.application.shutdown()
        logger.info("stopped")

    async def _serve(self, stopping: asyncio.Queue[str]) -> None:
        parts = [runner.start() for runner in self.runners]
        if self.scheduler is not None:
            parts.append(asyncio.create_task(self.scheduler.run(), name="svcjobs-scheduler"))
        logger.info("ready")
        asked = asyncio.create_task(stopping.get())
        await asyncio.wait([asked, *parts], return_when=asyncio.FIRST_COMPLETED)
        ended = [part for part in parts if part.done()]
        if asked.done():
            logger.info(
                "%s: fetching no more; jobs that run: %d, they have %g s, a second signal ends them now",
                asked.result(), sum(len(runner.running) for runner in self.runners), self.grace_seconds,
            )  # fmt: skip
        await self._stop(parts, stopping)
        asked.cancel()
        for part in ended:
            part.result()

    async def _stop(self, parts: Sequence[asyncio.Task[None]], stopping: asyncio.Queue[str]) -> None:
        again = asyncio.create_task(stopping.get())
        ends = asyncio.create_task(_all_end([*self._stops(self.grace_seconds), *parts]))
        await asyncio.wait([again, ends], return_when=asyncio.FIRST_COMPLETED)
        if not ends.done():
            logger.warning("%s again: running jobs are given back now", again.result())
            await _all_end(self._stops(0))
            await ends
        again.cancel()

    def _stops(self, grace_seconds: float) -> list[asyncio.Task[None]]:
        if self.scheduler is not None:
            self.scheduler.stop(grace_seconds)
        return [asyncio.create_task(runner.stop(grace_seconds)) for runner in self.runners]


async def _all_end(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def _stop_signals(numbers: Sequence[signal.Signals], one_stop_seconds: float) -> asyncio.Queue[str]:
    """Gets the name of each such signal from now on; those that follow the first one closely are left out."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    stopped_at: float | None = None

    def note(name: str) -> None:
        nonlocal stopped_at
        now = loop.time()
        if stopped_at is None or now >= stopped_at + one_stop_seconds:
            stopped_at = now if stopped_at is None else stopped_at
            seen.put_nowait(name)

    for number in numbers:
        loop.add_signal_handler(number, note, number.name)
    return seen
