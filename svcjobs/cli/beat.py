"""``svcjobs beat``: the schedule, without a worker."""

from __future__ import annotations

import asyncio
import logging
import signal

import click

from svcjobs.cli import schedules
from svcjobs.cli.applications import application_option, find_application
from svcjobs.cli.backends import open_backend
from svcjobs.cli.foreign import ForeignCommand
from svcjobs.cli.logs import log_options, node_name, start_logging
from svcjobs.cli.queues import Place, place_options
from svcjobs.errors import ConfigurationError
from svcjobs.scheduler import InMemoryScheduler

logger = logging.getLogger(__name__)


@click.command(cls=ForeignCommand)
@application_option
@click.option("-n", "--name", "wish", metavar="NAME", help="This process's name in logs; %h is the host.")
@click.option("--grace", type=click.FloatRange(min=0), default=10, show_default=True, metavar="SECONDS",
              help="How long running entries may go on after SIGTERM.")  # fmt: skip
@log_options
@place_options
def beat(target: str | None, *, wish: str | None, grace: float, loglevel: str, log_format: str, place: Place) -> None:
    """Run the schedule of JOBS_SCHEDULE_JSON and of the application.

    Start as many as you like: each tick is served once. With a Celery app, the options are those of `celery beat`.
    """
    start_logging(loglevel, node_name(wish, "beat"), log_format)
    application = find_application(target)
    if place.is_memory:
        logger.warning("the memory driver shares nothing: each process runs the whole schedule")
    # whether the server may drop jobs is the workers' business
    with open_backend(place, allow_eviction=True) as backend:
        problems = schedules.load(backend.scheduler, application)
        _check_entries(backend.scheduler, place, any_bad=bool(problems))
        asyncio.run(_run(backend.scheduler, grace))


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


async def _run(scheduler: InMemoryScheduler, grace: float) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, scheduler.stop, grace)
    for task in scheduler.tasks:
        logger.info("schedule %s: %s, next at %s", task.name, task.schedule, task.next_run_at.isoformat())
    await scheduler.run()
    logger.info("stopped")
