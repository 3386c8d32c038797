"""``svcjobs beat``: the schedule, without a worker."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click

from svcjobs.cli import schedules
from svcjobs.cli.applications import application_option, find_application
from svcjobs.cli.backends import open_backend
from svcjobs.cli.durations import SECONDS_OR_NONE
from svcjobs.cli.foreign import ForeignCommand
from svcjobs.cli.logs import log_options, node_name, start_logging
from svcjobs.cli.queues import Place, place_options
from svcjobs.errors import ConfigurationError
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.scheduler_health import SchedulerHealth

logger = logging.getLogger(__name__)


@click.command(cls=ForeignCommand)
@application_option
@click.option("-n", "--name", "wish", metavar="NAME", help="This process's name in logs; %h is the host.")
@click.option("--grace", type=SECONDS_OR_NONE, default=10, show_default=True, metavar="SECONDS",
              help="How long running entries may go on after SIGTERM.")  # fmt: skip
@click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Answer /livez and /readyz (and /metrics) there; 0 takes a free port.")  # fmt: skip
@log_options
@place_options
def beat(
    target: str | None,
    *,
    wish: str | None,
    grace: float,
    health_port: int | None,
    loglevel: str,
    log_format: str,
    place: Place,
) -> None:
    """Run the schedule of JOBS_SCHEDULE_JSON and of the application.

    Start as many as you like: each tick is served once. With a Celery app, the options are those of `celery beat`.
    """
    start_logging(loglevel, node_name(wish, "beat"), log_format)
    # from the start: that the server is waited for is no reason to start this process again
    with _health(health_port) as health:
        application = find_application(target)
        if place.is_memory:
            logger.warning("the memory driver shares nothing: each process runs the whole schedule")
        # whether the server may drop jobs is the workers' business
        with open_backend(place, allow_eviction=True) as backend:
            problems = schedules.load(backend.scheduler, application)
            _check_entries(backend.scheduler, place, any_bad=bool(problems))
            if health:
                health.watch(backend.scheduler, backend.home)
            asyncio.run(_run(backend.scheduler, grace, health))


@contextmanager
def _health(port: int | None) -> Iterator[SchedulerHealth | None]:
    if port is None:
        yield None
        return
    with closing(SchedulerHealth([port])) as health:
        logger.info("metrics at http://localhost:%d/metrics, probes at /livez and /readyz", *health.ports)
        yield health


def _check_entries(scheduler: InMemoryScheduler, place: Place, *, any_bad: bool) -> None:
    if not scheduler.tasks and any_bad:
        raise ConfigurationError("no entry of the schedule can be used, see above")
    if not scheduler.tasks:
        raise ConfigurationError("the schedule is empty: set JOBS_SCHEDULE_JSON, or name an application by -A")
    jobs = [task.name for task in scheduler.tasks if task.job]
    if place.is_memory and jobs:
        raise ConfigurationError(
            f"the entry {jobs[0]!r} enqueues a job, but the memory driver keeps it inside this process, where nothing "
            "runs it: set JOBS_DRIVER=redis, or use `svcjobs worker -B`"
        )


async def _run(scheduler: InMemoryScheduler, grace: float, health: SchedulerHealth | None) -> None:
    loop = asyncio.get_running_loop()
    beating = loop.create_task(health.beat()) if health else None

    def stop() -> None:
        if health:
            health.stopping = True
        scheduler.stop(grace)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    for task in scheduler.tasks:
        logger.info("schedule %s: %s, next at %s", task.name, task.schedule, task.next_run_at.isoformat())
    await scheduler.run()
    if beating:
        beating.cancel()
    logger.info("stopped")
