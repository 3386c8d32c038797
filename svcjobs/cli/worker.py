"""``svcjobs worker``: runs jobs."""

from __future__ import annotations

import os

import click

from svcjobs.cli import schedules
from svcjobs.cli.alone import work_alone
from svcjobs.cli.applications import application_option
from svcjobs.cli.durations import SECONDS, SECONDS_OR_NONE
from svcjobs.cli.foreign import ForeignCommand
from svcjobs.cli.lives import WorkerPlan, supervise
from svcjobs.cli.logs import log_options, node_name, start_logging
from svcjobs.cli.queues import Place, place_options, queues_option
from svcjobs.errors import ConfigurationError
from svcjobs.execution import configured_timeout_seconds
from svcjobs.limits import Limits
from svcjobs.pools.choice import POOLS
from svcjobs.settings import HandlerSettings

COUNT = click.IntRange(min=1)
PORT = click.IntRange(0, 65535)
DEFAULT_CONCURRENCY = 10


class WorkerCommand(ForeignCommand):
    """Its process is the supervisor."""

    forks = True


@click.command(cls=WorkerCommand)
@application_option
@queues_option
@click.option("-P", "--pool", type=click.Choice(POOLS), default="async", show_default=True,
              help="async: coroutines in an event loop, plain functions in threads. threads: each job in a thread. "
              "prefork: each job in a process that runs one at a time. solo: one at a time.")  # fmt: skip
@click.option("-c", "--concurrency", type=COUNT, metavar="N",
              help="Jobs that run at once in each process, 10 by default; with -P prefork the number of processes, "
              "by default that of the CPUs.")  # fmt: skip
@click.option("--processes", type=COUNT, metavar="N", help="Processes that run jobs. Default: 1. Not with -P prefork.")
@click.option("-n", "--name", "wish", metavar="NAME",
              help="This worker's name in logs and in `svcjobs workers`; %h is the host.")  # fmt: skip
@click.option("-B", "--beat/--no-beat", "with_schedule", default=None,
              help="Run the schedule too. Default: when JOBS_SCHEDULE_JSON is set.")  # fmt: skip
@click.option("--grace", type=SECONDS_OR_NONE, default=25, show_default=True, metavar="SECONDS",
              help="How long running jobs may go on after SIGTERM; then they are given back.")  # fmt: skip
@click.option("--visibility-timeout", type=SECONDS, default=60, show_default=True, metavar="SECONDS",
              help="How long a job stays with a dead worker. Live ones keep theirs.")  # fmt: skip
@click.option("--soft-time-limit", type=SECONDS, metavar="SECONDS",
              help="Raise SoftTimeLimitExceeded in a handler that runs longer.")  # fmt: skip
@click.option("--time-limit", type=SECONDS, metavar="SECONDS",
              help="Fail a job that runs longer, and kill its process. Only with -P prefork.")  # fmt: skip
@click.option("--max-jobs-per-child", type=COUNT, metavar="N", help="Replace a process after so many jobs.")
@click.option("--max-memory-per-child", type=COUNT, metavar="KIB", help="Replace a process that takes more memory.")
@click.option("--max-age-per-child", type=SECONDS, metavar="SECONDS", help="Replace a process that is older.")
@click.option("--health-port", type=PORT, metavar="PORT",
              help="Answer /livez and /readyz (and /metrics) there; 0 takes a free port.")  # fmt: skip
@click.option("--metrics-port", type=PORT, metavar="PORT",
              help="Serve Prometheus metrics at /metrics (and the probes); 0 takes a free port.")  # fmt: skip
@click.option("--keep-log-lines", "kept_lines", type=click.IntRange(0, 1000), default=0, metavar="N",
              help="Keep the last N lines that a job logs for `svcjobs job`. Default: none.")  # fmt: skip
@click.option("--allow-eviction", is_flag=True, help="Start although the server may drop jobs when it is full.")
@log_options
@place_options
@click.pass_context
def worker(
    ctx: click.Context,
    target: str | None,
    names: tuple[str, ...],
    *,
    pool: str,
    concurrency: int | None,
    processes: int | None,
    wish: str | None,
    with_schedule: bool | None,
    grace: float,
    visibility_timeout: float,
    soft_time_limit: float | None,
    time_limit: float | None,
    max_jobs_per_child: int | None,
    max_memory_per_child: int | None,
    max_age_per_child: float | None,
    health_port: int | None,
    metrics_port: int | None,
    kept_lines: int,
    allow_eviction: bool,
    loglevel: str,
    log_format: str,
    place: Place,
) -> None:
    """Run jobs until SIGTERM or Ctrl-C. SIGHUP loads the application anew, without a gap.

    With a Celery app, the options are those of `celery worker`.

    \b
    svcjobs worker -A myapp.jobs:registry
    svcjobs worker -A myapp -Q emails,reports -c 20 --processes 4
    svcjobs worker -A myapp -P prefork -c 8 --time-limit 300
    """
    name = node_name(wish, "worker")
    start_logging(loglevel, name, log_format, kept_lines=kept_lines)
    limits = Limits(soft_time_limit, time_limit, configured_timeout_seconds())
    limits.check_pool(pool)
    children, at_once = _numbers(pool, concurrency, processes)
    plan = WorkerPlan(
        name=name,
        target=target,
        queues=names,
        place=place,
        pool=pool,
        children=children,
        concurrency=at_once,
        scheduled=schedules.is_set() if with_schedule is None else with_schedule,
        grace_seconds=grace,
        lease_seconds=visibility_timeout,
        limits=limits,
        max_jobs=max_jobs_per_child,
        max_memory_kib=max_memory_per_child,
        max_age_seconds=max_age_per_child,
        ports=tuple(dict.fromkeys(port for port in (health_port, metrics_port) if port is not None)),
        allow_eviction=allow_eviction,
        kept_lines=kept_lines,
    )
    has_application = _has_application(target)
    if not has_application and not plan.scheduled:
        raise ConfigurationError(
            "no application: name one with -A module:registry, or set JOBS_REGISTRY_TARGET or JOBS_HANDLER_TARGET"
        )
    if place.is_memory:
        work_alone(plan)
        return
    ctx.exit(supervise(plan, has_application=has_application))


def _numbers(pool: str, concurrency: int | None, processes: int | None) -> tuple[int, int]:
    """How many processes there are, and how many jobs run at once in each."""
    if pool == "prefork":
        if processes is not None:
            raise click.UsageError("--processes doesn't go with -P prefork: there, -c N is the number of processes")
        return concurrency or os.cpu_count() or 1, 1
    if pool == "solo":
        if concurrency not in (None, 1):
            raise click.UsageError("-P solo runs one job at a time in each process: use --processes N for more")
        return processes or 1, 1
    return processes or 1, concurrency or DEFAULT_CONCURRENCY


def _has_application(target: str | None) -> bool:
    """Whether one is named; it isn't imported here, where children are forked."""
    settings = HandlerSettings.from_environment()
    return bool(target or settings.registry_target or settings.handler_target)
