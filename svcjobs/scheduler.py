"""Runs functions and enqueues jobs at their times."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args

from svcjobs.clock import utc
from svcjobs.cron import in_utc
from svcjobs.errors import ClockSkew, ConfigurationError, InvalidJob
from svcjobs.job import NewJob, encode_payload
from svcjobs.leadership import SchedulerLeadership
from svcjobs.queue import JobQueue
from svcjobs.scheduled_task import EachTick, Misfire, ScheduledTask, first_run_at, schedule_of
from svcjobs.targets import resolve_target
from svcjobs.threads import Threads

T = TypeVar("T")

LOOK_SECONDS = 0.75
"""The scheduler looks at the clock this often, so that a step of it, or a leader's end, is seen within a second."""

QUEUE_CALLS = 8
"""Calls to queues at once: a thousand entries that are due together don't open a thousand connections."""

_LEADER = "the leadership"
_log = logging.getLogger(__name__)


class InMemoryScheduler:
    """Keeps a schedule in memory and serves it; what was served is kept by the queue, when there is one.

    Each tick of a schedule is served once with any number of schedulers, if they have the same queue: an entry
    with a job takes its tick and enqueues in one step, an entry with a function takes its tick, then calls the
    function (so at most once: a process that dies in between has used the tick up). Names of entries are what
    schedulers agree on: use a name for one thing only among all applications of a queue. Without a queue an entry
    simply runs, in each scheduler, or with a ``leader`` in the one that leads.

    An interval ticks at multiples of itself since 1970 in UTC (86400 is midnight), so that all schedulers and each
    restart name the same ticks. Interval 0 runs at each tick of the scheduler, of each scheduler that leads.

    Missed ticks (the process was down or blocked, the last run took too long, Redis was away, the clock jumped)
    are served by the entry's ``misfire`` policy: ``once`` (the latest stands for all), ``all`` (each, oldest first)
    or ``skip`` (the latest, if it is at most ``tick_interval`` late). With a queue that holds across restarts.
    A clock that is set back by up to three hours repeats no cron tick, as in cron(8), and intervals go on; ticks that
    were claimed in a queue aren't repeated at all. A clock that runs ahead is noticed by the queue, which takes no tick
    of the future; ticks are served by the queue's clock then.

    Args:
        tick_interval: seconds between looks at the schedule, at most: what is due earlier is served on time.
        leader: elects one among several schedulers, which saves the others the work.
        now_provider: the clock, returns aware datetimes.
        queue: takes the jobs of entries that name no queue of their own, and keeps which ticks were taken.

    Attributes:
        last_tick_at: when the schedule was last looked at with nothing in the way; grows old while the loop is
            blocked, or Redis is away. None before the first look.

    Raises:
        ConfigurationError: ``tick_interval`` isn't positive.
    """

    def __init__(
        self,
        tick_interval: float = 60.0,
        *,
        leader: SchedulerLeadership | None = None,
        now_provider: Callable[[], datetime] | None = None,
        queue: JobQueue | None = None,
    ) -> None:
        if not 0 < tick_interval < 1e10:
            raise ConfigurationError(f"tick_interval is {tick_interval!r}: give a positive number of seconds")
        self.tick_interval = tick_interval
        self.last_tick_at: datetime | None = None
        self._tasks: dict[str, ScheduledTask] = {}
        self._leader = leader
        self._leading = False
        self._queue = queue
        self._clock = now_provider or (lambda: datetime.now(UTC))
        self._seen_at: datetime | None = None
        self._ahead = False
        self._troubles: set[str] = set()
        self._threads = Threads("svcjobs-scheduler")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake, self._gate = asyncio.Event(), asyncio.Semaphore(QUEUE_CALLS)
        self._stopping = False
        self._grace_seconds = 10.0

    @property
    def tasks(self) -> list[ScheduledTask]:
        """The entries, in the order of their adding."""
        return list(self._tasks.values())

    def add_task(self, name: str, interval_seconds: float, func: Callable[[], object]) -> None:
        """Call ``func`` each ``interval_seconds``; 0 is at each tick. See :meth:`add`."""
        self.add(name, interval_seconds=interval_seconds, func=func)

    def add_cron(self, name: str, cron: str, func: Callable[[], object], timezone: str | None = None) -> None:
        """Call ``func`` whenever ``cron`` matches. See :meth:`add`."""
        self.add(name, cron=cron, func=func, timezone=timezone)

    def add_job(
        self,
        name: str,
        *,
        job_queue: JobQueue,
        job_name: str,
        interval_seconds: float | None = None,
        cron: str | None = None,
        payload: dict[str, Any] | None = None,
    ) -> None:
        """Enqueue a job. See :meth:`add`."""
        self.add(
            name,
            job_queue=job_queue,
            job_name=job_name,
            interval_seconds=interval_seconds,
            cron=cron,
            payload=payload,
        )

    def add(
        self,
        name: str,
        *,
        func: Callable[[], object] | None = None,
        target: str | None = None,
        job_name: str | None = None,
        payload: dict[str, Any] | None = None,
        job_queue: JobQueue | None = None,
        interval_seconds: float | None = None,
        cron: str | None = None,
        timezone: str | None = None,
        misfire: Misfire = "once",
    ) -> None:
        """Add an entry: one of ``func``, ``target`` and ``job_name``, at one of ``interval_seconds`` and ``cron``.

        Args:
            name: unique among the entries.
            func: is called without arguments; awaited if it is ``async``, else it runs in a thread.
            target: ``module:function`` of such a function.
            job_name: name of a job to enqueue.
            payload: the job's payload.
            job_queue: where the job goes; the scheduler's queue when left out.
            interval_seconds: the interval, see :class:`~svcjobs.cron.Every`; 0 is at each tick.
            cron: the expression, see :class:`~svcjobs.cron.Cron`.
            timezone: the zone of ``cron``, UTC when left out.
            misfire: what becomes of missed ticks: ``once``, ``all`` or ``skip``.

        Raises:
            ConfigurationError: an argument is missing, one too many, or can't be used.
            InvalidJob: the job can't be stored as it is.
        """
        if not isinstance(name, str) or not name or not name.isprintable() or name in self._tasks:
            raise ConfigurationError(f"the name is {name!r}: give each entry its own name, in characters that print")
        if misfire not in get_args(Misfire):
            raise ConfigurationError(f"misfire is {misfire!r}: use one of {', '.join(get_args(Misfire))}")
        schedule = schedule_of(interval_seconds, cron, timezone, self.tick_interval)
        if sum(given is not None for given in (func, target, job_name)) != 1:
            raise ConfigurationError("give exactly one of func, target, or job_name")
        task = ScheduledTask(name, schedule, misfire, first_run_at(schedule, self._clock()))
        if job_name is None:
            if payload is not None or job_queue is not None:
                raise ConfigurationError("payload and job_queue go with job_name: a function takes no arguments")
            task.func = func if target is None else resolve_target(target)
            task.queue = self._queue
            if not callable(task.func):
                raise ConfigurationError(f"{target or func!r} can't be called: give a function without arguments")
        else:
            task.job = NewJob(job_name, payload or {})
            encode_payload(task.job.payload)
            task.queue = job_queue or self._queue
            if task.queue is None:
                raise ConfigurationError(f"{name!r} enqueues a job, but has no queue: give job_queue")
        self._tasks[name] = task

    async def tick(self, now: datetime | None = None) -> None:
        """Serve everything that is due, and wait for it. Entries with interval 0 are due at each call.

        Args:
            now: the present, aware; the clock's when left out.
        """
        now = in_utc(now or self._clock())
        for task in self._tasks.values():
            task.retry_at = 0
            if isinstance(task.schedule, EachTick):
                task.next_run_at = min(task.next_run_at, now)
        started = await self._start_due(now)
        if not started:
            return
        renewing = asyncio.create_task(self._renew())
        try:
            await asyncio.gather(*started)
        finally:
            await _end([renewing])

    async def run(self) -> None:
        """Serve the schedule until :meth:`stop`, or until cancelled. Entries run side by side, none beside itself.

        Raises:
            RuntimeError: it runs already.
        """
        if self._loop is not None:
            raise RuntimeError("this scheduler runs already: make one for each run()")
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        renewing = asyncio.create_task(self._renew())
        try:
            while not self._stopping:
                await self._start_due(in_utc(self._clock()))
                await self._pause()
            if self._running:
                await asyncio.wait(self._running, timeout=self._grace_seconds)
        finally:
            await _end([renewing, *self._running])
            await self._resign()
            self._threads.close()
            self._loop, self._stopping = None, False

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Let :meth:`run` end. May be called from any thread, and before ``run()``.

        Args:
            grace_seconds: how long entries that run may go on before they are cancelled.
        """
        self._grace_seconds, self._stopping = grace_seconds, True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def _running(self) -> list[asyncio.Task[None]]:
        return [task.running for task in self._tasks.values() if task.running]

    async def _start_due(self, now: datetime) -> list[asyncio.Task[None]]:
        """Start what is due and idle."""
        if not self._running:
            self._gate = asyncio.Semaphore(QUEUE_CALLS)  # one that had to wait belongs to its loop
        self._notice_clock(now)
        monotonic = time.monotonic()
        due = [task for task in self._tasks.values() if task.wants(now, monotonic)]
        if due and not await self._lead():
            self._follow(due, now)
            due = []
        for task in due:
            task.running = asyncio.create_task(self._serve(task, now), name=f"schedule {task.name}")
        if not self._troubles:
            self.last_tick_at = now
        return [task.running for task in due if task.running]

    def _notice_clock(self, now: datetime) -> None:
        back = self._seen_at - now if self._seen_at else timedelta()
        self._seen_at = now
        if back > timedelta():
            self._ahead = False
            for task in self._tasks.values():
                task.clock_went_back(now, back)

    async def _lead(self) -> bool:
        """Whether this scheduler leads; asks for the leadership, or renews it."""
        if self._leader is None:
            return True
        self._leading = await self._ask(_LEADER, self._leader.ensure_leader) or False
        return self._leading

    def _follow(self, due: list[ScheduledTask], now: datetime) -> None:
        """Leave what is due to the leader.

        With a queue, ticks stay due until this scheduler leads; then the queue refuses those that were served. Without
        one nobody knows: they are the leader's, unless there was no telling who leads.
        """
        unknown = _LEADER in self._troubles
        for task in due:
            if task.claiming_queue or unknown:
                task.hold(LOOK_SECONDS)
            else:
                task.served(now)

    async def _serve(self, task: ScheduledTask, now: datetime) -> None:
        """Serve what is due of one entry."""
        task.retry_at = 0
        try:
            await self._serve_until(task, now)
        except ClockSkew as skew:
            if not self._ahead:
                _log.error("schedule: %s; until then ticks are served by the clock of the queue's server", skew)
            self._ahead = True
            task.clock_is_ahead(utc(skew.server_at))
            await self._serve_until(task, utc(skew.server_at))
            task.hold(LOOK_SECONDS)
        finally:
            task.running = None
            self._wake.set()

    async def _serve_until(self, task: ScheduledTask, now: datetime) -> None:
        while not self._stopping and await self._locate(task, now):
            tick_at = task.pick(now, timedelta(seconds=self.tick_interval))
            if tick_at is None or not await self._take(task, tick_at, now):
                break

    async def _locate(self, task: ScheduledTask, now: datetime) -> bool:
        queue = task.claiming_queue
        if queue is None or task.located:
            return True
        async with self._gate:
            last = await self._ask(f"entry {task.name}", lambda: (queue.last_tick(task.name),))
        if last is None:
            task.hold(LOOK_SECONDS)
            return False
        task.locate(None if last[0] is None else utc(last[0]))
        if last[0] and last[0] > now.timestamp() + 60:
            _log.warning("schedule %s waits until %s: a clock was ahead", task.name, task.next_run_at)
        return True

    async def _take(self, task: ScheduledTask, tick_at: datetime, now: datetime) -> bool:
        """Take a tick and serve it; False when it has to be tried again later."""
        try:
            async with self._gate:
                taken = await self._ask(f"entry {task.name}", lambda: task.take(tick_at))
        except InvalidJob:
            _log.exception("the job of schedule %s was refused, this tick is left out", task.name)
            task.failures += 1
            task.served(tick_at)
            return True
        if taken is None:
            task.hold(LOOK_SECONDS)
            return False
        task.served(tick_at)
        # Refused and still behind: another scheduler is at work, go on where it is.
        task.located = taken or task.next_run_at > now
        if taken:
            await self._run_once(task)
        return True

    async def _run_once(self, task: ScheduledTask) -> None:
        task.runs += 1
        if task.func is None:
            return
        try:
            await self._threads.run(task.func, like=task.func)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException:  # noqa: BLE001 - whatever a task raises, a SystemExit too, the schedule goes on
            task.failures += 1
            _log.exception("the scheduled task %s raised, it runs again at %s", task.name, task.next_run_at)

    async def _ask(self, what: str, call: Callable[[], T]) -> T | None:
        """What a call to Redis returns; None when it raised, which is logged once until one succeeds.

        Raises:
            InvalidJob, ClockSkew: trying again doesn't help.
        """
        try:
            answer = await self._threads.call(call)
        except (InvalidJob, ClockSkew):
            raise
        except Exception as error:  # noqa: BLE001 - a queue or leader of the caller's may raise anything
            if what not in self._troubles:
                _log.warning("schedule: %s has to wait, its call failed: %s", what, error, exc_info=True)
            self._troubles.add(what)
            return None
        if what in self._troubles:
            _log.info("schedule: %s goes on", what)
        self._troubles.discard(what)
        return answer

    async def _pause(self) -> None:
        """Sleep until something is due, an entry ends, or :meth:`stop`. The sleep is short: clocks may be set."""
        now = in_utc(self._clock())
        delay = min(LOOK_SECONDS, self.tick_interval)
        for task in self._tasks.values():
            if not task.running and not task.retry_at:
                delay = min(delay, (task.next_run_at - now).total_seconds())
        self._wake.clear()
        if not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(delay, 0))

    async def _renew(self) -> None:
        """Keep the leadership while it is ours."""
        while self._leader is not None:
            await asyncio.sleep(self._leader.heartbeat_interval_seconds)
            if self._leading:
                await self._lead()

    async def _resign(self) -> None:
        if self._leader is not None and self._leading:
            self._leading = False
            await self._ask(_LEADER, self._leader.release)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
