"""The life of a runner between start and stop, as a line of three steps: fetch, run, settle."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from svcjobs.application import Handler
from svcjobs.awaited_queue import AnyQueue, AwaitedQueue
from svcjobs.errors import QueueUnavailable
from svcjobs.execution import Execution, configured_timeout_seconds, execute, tell
from svcjobs.job import Job
from svcjobs.leases import Leases, is_late
from svcjobs.outage import FIRST_PAUSE_SECONDS, Outage
from svcjobs.queue import JobQueue
from svcjobs.settlement import Outcome, Release, Settlement
from svcjobs.settler import Settler
from svcjobs.threads import Threads

if TYPE_CHECKING:
    from svcjobs.metrics import Metrics

logger = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 1.0
"""How long a cancelled handler may take to clean up."""
LONGEST_WAIT_SECONDS = 2.0
"""Between two looks of a runner that has long been idle, as far as no job wakes it."""
LAST_SETTLEMENTS_SECONDS = 5.0
"""How long a stopped runner waits for an absent server to take its last settlements."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job whose handler runs, and since when."""

    job: Job
    started_at: datetime


class Pipeline:
    """One run of a runner; its arguments are those of :class:`~svcjobs.runner.WorkerRunner`."""

    def __init__(
        self, queue: AnyQueue, handler: Handler, wait_seconds: float, concurrency: int, metrics: Metrics | None
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._first_wait_seconds = self._wait_seconds = wait_seconds
        self._concurrency = concurrency
        self._metrics = metrics
        self._timeout_seconds = configured_timeout_seconds()
        self._loop = asyncio.get_running_loop()
        self._threads = Threads("svcjobs-worker")
        self._awaited = AwaitedQueue(queue, self._threads)
        self._outage = Outage(queue.name)
        self._settler = Settler(self._awaited, self._outage, self._settled)
        self._leases = Leases(queue.visibility_timeout, self._lost_in_thread)
        self._tasks: dict[asyncio.Task[Execution], RunningJob] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_by = float("inf")

    @property
    def running(self) -> list[RunningJob]:
        return list(self._tasks.values())

    def stop(self, grace_seconds: float) -> None:
        """Fetch no more, and cancel what still runs after ``grace_seconds``."""
        self._stop_by = min(self._stop_by, time.monotonic() + grace_seconds)
        self._stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """Fetch until stopped, let the running jobs end, give back the rest."""
        settling = asyncio.create_task(self._settler.run())
        keeping = self._keep_leases()
        if self._metrics is not None:
            self._metrics.watch(self._queue)
        try:
            await self._fetch()
            await self._drain()
        finally:
            await self._give_back()
            await self._settle_rest(settling)
            self._leases.stop()
            if keeping is not None:
                keeping.cancel()
            self._threads.close()

    def _keep_leases(self) -> asyncio.Task[None] | None:
        if self._awaited.is_async:
            return asyncio.create_task(self._leases.keep(self._awaited))
        self._leases.start_thread(cast("JobQueue", self._queue))
        return None

    # fetch

    async def _fetch(self) -> None:
        asked_at: float | None = None
        while not self._stopping.is_set():
            free = self._free_slots()
            if not free:
                await self._change()
                continue
            # the answer may be that to an earlier call, which nobody has heard
            asked_at = asked_at or time.monotonic()
            try:
                jobs = await self._awaited.reserve_many(free)
                self._outage.is_over()
                if is_late(self._queue.visibility_timeout, asked_at):
                    free = 0
                self._begin(jobs[:free])
                self._refuse(jobs[free:])
                asked_at = None
                if jobs:
                    self._wait_seconds = self._first_wait_seconds
                else:
                    await self._until_stopping(self._idle())
            except Exception as error:  # noqa: BLE001 - a worker never exits because of its queue (promise P10)
                await self._until_stopping(asyncio.sleep(self._outage.goes_on(error)))

    async def _idle(self) -> None:
        try:
            in_vain = True
            while in_vain and not self._stopping.is_set():  # a client may swallow a cancellation
                seconds, self._wait_seconds = self._wait_seconds, min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
                in_vain = await self._awaited.wait(seconds)
        except QueueUnavailable:
            # only the waiting connection may be gone; if it is more, the next reserve tells
            await asyncio.sleep(FIRST_PAUSE_SECONDS)

    def _free_slots(self) -> int:
        # settlements that pile up are jobs that aren't done yet
        return self._concurrency - len(self._tasks) if self._settler.backlog <= self._concurrency else 0

    async def _change(self) -> None:
        """Wait until a job ended or was settled, or a stop was asked for."""
        self._changed.clear()
        await self._changed.wait()

    async def _until_stopping(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Await ``waiting``, but not longer than to the stop."""
        tasks = {asyncio.create_task(waiting), asyncio.create_task(self._stopping.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()

    # run

    def _begin(self, jobs: Sequence[Job]) -> None:
        if self._stopping.is_set():
            self._refuse(jobs)
            return
        for job in jobs:
            if self._metrics is not None:
                self._metrics.observe_wait(job)
            self._leases.hold(job)
            task = asyncio.create_task(execute(job, self._handler, self._threads, self._timeout_seconds))
            self._tasks[task] = RunningJob(job, datetime.now(UTC))
            # not code behind an await: a task that is cancelled before it began runs none of its code
            task.add_done_callback(functools.partial(self._ended, job))

    def _refuse(self, jobs: Sequence[Job]) -> None:
        # the answer to an earlier reserve, lost in an outage, may hold more jobs than this one asked for
        for job in jobs:
            self._settler.add(Release(job, suspect=job.suspect))

    def _ended(self, job: Job, task: asyncio.Task[Execution]) -> None:
        if self._tasks.pop(task, None) is None:
            return  # given back already
        self._changed.set()
        if task.cancelled() or task.exception() is not None:
            self._settler.add(Release(job, suspect=job.suspect))
            return
        execution = task.result()
        if self._metrics is not None:
            self._metrics.observe(job.name, execution.seconds, execution.error_type)
        self._settler.add(execution.settlement)

    def _lost_in_thread(self, job: Job) -> None:
        try:
            self._loop.call_soon_threadsafe(self._lose, job)
        except RuntimeError:
            return  # the loop has ended, and the job's handler with it

    def _lose(self, job: Job) -> None:
        for task, running in self._tasks.items():
            if running.job is job:
                task.cancel()  # its settlement will be refused, and counted; or bury the job, if it was cancelled
                return

    # settle

    def _settled(self, settlement: Settlement, outcome: Outcome | None) -> None:
        self._leases.drop(settlement.job)
        self._changed.set()
        tell(settlement, outcome)

    # stop

    async def _drain(self) -> None:
        while self._tasks and (left := self._stop_by - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._change()

    async def _give_back(self) -> None:
        self._stopping.set()
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(list(self._tasks), timeout=CLEAN_UP_SECONDS)
        for job in (running.job for running in self._tasks.values()):
            logger.warning("The handler of job %s (%s) doesn't end; the job is given back", job.id, job.name)
            self._settler.add(Release(job, suspect=job.suspect))
        self._tasks.clear()

    async def _settle_rest(self, settling: asyncio.Task[None]) -> None:
        self._settler.close()
        await asyncio.wait([settling], timeout=LAST_SETTLEMENTS_SECONDS)
        if settling.cancelled():  # the loop is being torn down, which cancels every task in it
            settling = asyncio.create_task(self._settler.run())
            await asyncio.wait([settling], timeout=LAST_SETTLEMENTS_SECONDS)
        if not settling.done():
            settling.cancel()
        if self._settler.backlog:
            logger.error(
                "Queue %s took no settlement any more: %d jobs will be delivered again when their leases run out",
                self._queue.name, self._settler.backlog,
            )  # fmt: skip
