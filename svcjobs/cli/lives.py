"""The lives of a worker's processes, each from its fork to its exit code."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from svcjobs.application import Application
from svcjobs.census import ONE_STOP_SECONDS, ChildPipes, KeeperPipes
from svcjobs.child import ChildPlan, run_child
from svcjobs.cli import schedules
from svcjobs.cli.applications import find_application
from svcjobs.cli.backends import open_backend
from svcjobs.cli.exits import CommandFailed, Exit, tell
from svcjobs.cli.queues import Place
from svcjobs.cli.readiness import wait_until_ready
from svcjobs.cli.serving import Serving
from svcjobs.easy import open_client, open_heartbeats, open_queue
from svcjobs.errors import ConfigurationError, JobsError, QueueUnavailable
from svcjobs.health import Health
from svcjobs.heartbeats import LiveWorker
from svcjobs.journal import Journal
from svcjobs.journal_store import JournalStore
from svcjobs.keeper import Duty, Keeper
from svcjobs.limits import Limits
from svcjobs.pulse import Pulse
from svcjobs.queue import JobQueue
from svcjobs.recycling import Recycling
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.reports import Report, send
from svcjobs.supervisor import Supervisor

logger = logging.getLogger(__name__)

CALL_SECONDS = 5.0
"""Time-out of a child's calls: no producer waits for them, and a stop has to find the child within its grace."""
REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker does, as plain values made before any fork; they are the options of ``svcjobs worker``.

    Args:
        name: the worker's, in logs and in the list of workers.
        target: names the application; None leaves that to the environment.
        queues: names of the queues; none leaves that to the application.
        place: the server.
        pool: of each child.
        children: how many processes run jobs.
        concurrency: jobs at once in each.
        scheduled: whether one more process runs the schedule.
        grace_seconds: how long jobs may run on after a stop.
        lease_seconds: how long a job stays with a dead worker.
        limits: time limits.
        max_jobs: a child runs before it is replaced.
        max_memory_kib: a child takes before it is replaced.
        max_age_seconds: a child lives before it is replaced.
        ports: where probes and Prometheus ask.
        allow_eviction: start although the server may drop jobs.
        kept_lines: log lines of each job that are kept.
    """

    name: str
    target: str | None
    queues: Sequence[str]
    place: Place
    pool: str
    children: int
    concurrency: int
    scheduled: bool
    grace_seconds: float
    lease_seconds: float
    limits: Limits
    max_jobs: int | None
    max_memory_kib: int | None
    max_age_seconds: float | None
    ports: Sequence[int]
    allow_eviction: bool
    kept_lines: int = 0


def supervise(plan: WorkerPlan, *, has_application: bool) -> int:
    """Run the worker until it is stopped; returns its exit code. The application is imported by its children only."""
    children: list[Callable[[ChildPipes], int]] = []
    if has_application:
        children += [functools.partial(told, functools.partial(_work, plan))] * plan.children
    if plan.scheduled:
        children.append(functools.partial(told, functools.partial(_schedule, plan)))
    keeper = functools.partial(told, functools.partial(keep, plan, datetime.now(UTC)))
    logger.info("pid %d on %s", os.getpid(), plan.place)
    return Supervisor(children, keeper, grace_seconds=plan.grace_seconds).run()


def told(live: Callable[[Any], int], pipes: Any) -> int:
    """What ``live`` returns; an error is said as a command says it."""
    try:
        return live(pipes)
    except (JobsError, CommandFailed) as error:
        return tell(error)
    except Exception as error:
        # a hook raised: the place matters
        logger.exception("process %d ends", os.getpid())
        return tell(CommandFailed(f"the worker ended: {type(error).__name__}: {error}"))


def _work(plan: WorkerPlan, pipes: ChildPipes) -> int:
    recycling = Recycling(plan.max_jobs, plan.max_memory_kib, plan.max_age_seconds)
    return run_child(
        functools.partial(_application, plan),
        functools.partial(_open_queues, plan),
        ChildPlan(plan.pool, plan.concurrency, plan.grace_seconds, plan.limits, recycling, bool(plan.ports)),
        pipes,
        functools.partial(_open_journal, plan),
    )


def _open_journal(plan: WorkerPlan) -> Journal:
    return Journal(JournalStore(open_client(plan.place.url)), lines=plan.kept_lines)


def _application(plan: WorkerPlan) -> Application:
    application = find_application(plan.target)
    if application is None:
        raise ConfigurationError("no application: name one with -A module:registry")
    return application


def _open_queues(plan: WorkerPlan, application: Application) -> list[JobQueue]:
    wait_until_ready(plan.place.url, allow_eviction=plan.allow_eviction, tell=logger.warning)
    client = open_client(plan.place.url)
    names = plan.queues or tuple(application.queues) or (None,)
    first, *others = (
        open_queue(client, name, visibility_timeout=plan.lease_seconds, timeout_seconds=CALL_SECONDS) for name in names
    )
    # over the same connections, so that the child can wait for all of them with one command
    queues = [first, *(first.sibling(queue.name) for queue in others)]
    for queue in queues:
        logger.info("queue %s: %d jobs at once", queue.name, plan.concurrency)
    return list(queues)


def _schedule(plan: WorkerPlan, pipes: ChildPipes) -> int:
    application = find_application(plan.target)
    with open_backend(plan.place, allow_eviction=plan.allow_eviction) as backend:
        schedules.load(backend.scheduler, application)
        tasks = backend.scheduler.tasks
        if application is None and not tasks:
            raise ConfigurationError("nothing to do: no application (-A), and no entry of the schedule can be used")
        for task in tasks:
            logger.info("schedule %s: %s, next at %s", task.name, task.schedule, task.next_run_at.isoformat())
        # Ctrl-C is the supervisor's to pass on
        serving = Serving(application, [], backend.scheduler, plan.grace_seconds, (signal.SIGTERM,), ONE_STOP_SECONDS)
        asyncio.run(_serve(serving, pipes, [task.name for task in tasks]))
    return Exit.OK


async def _serve(serving: Serving, pipes: ChildPipes, schedules: Sequence[str]) -> None:
    reporting = asyncio.create_task(_report(pipes, schedules))
    try:
        await serving.run()
    finally:
        reporting.cancel()


async def _report(pipes: ChildPipes, schedules: Sequence[str]) -> None:
    """Tell the keeper that this process, which holds no job, lives: as long as its event loop turns."""
    while True:
        send(pipes.reports, Report(os.getpid(), schedules=schedules).encode())
        await asyncio.sleep(REPORT_SECONDS)


def keep(plan: WorkerPlan, started_at: datetime, pipes: KeeperPipes) -> int:
    """The life of a worker's keeper."""
    client = _open_client(plan.place.url)
    health = Health(plan.ports, open_queue(client) if plan.scheduled else None) if plan.ports else None
    for port in health.ports if health else ():
        logger.info("metrics at http://localhost:%d/metrics, probes at /livez and /readyz", port)

    def open_kept(prefix: str) -> RedisJobQueue:
        queue = RedisJobQueue(client, prefix=prefix, visibility_timeout=plan.lease_seconds)
        if health:
            health.watch_queue(queue)
        return queue

    supervisor = os.getppid()
    name = f"{plan.name}:{supervisor}"
    concurrency = plan.children * plan.concurrency
    worker = LiveWorker(name, os.uname().nodename, supervisor, plan.pool, concurrency, started_at)
    duties: list[Duty] = [Pulse(open_heartbeats(client), worker), *([health] if health else [])]
    keeper = Keeper(pipes, open_kept, lease_seconds=plan.lease_seconds, grace_seconds=plan.grace_seconds, duties=duties)
    return keeper.run()


def _open_client(url: str) -> Any:
    """A client; while no node of a cluster answers, it is tried again."""
    while True:
        try:
            return open_client(url)
        except QueueUnavailable as error:
            logger.warning("%s; trying again", error)
            time.sleep(REPORT_SECONDS)
