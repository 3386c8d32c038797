"""``celery worker``."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from svcjobs.cli.durations import SECONDS_OR_NONE
from svcjobs.inheritance import Inheritance
from svcjobs.rehearsal import Rehearsal
from svcjobs_celery_compat import concurrency
from svcjobs_celery_compat.bin.base import (
    COMMA_SEPARATED_LIST,
    LOG_LEVEL,
    CeleryDaemonCommand,
    CeleryOption,
    handle_preload_options,
)
from svcjobs_celery_compat.bin.celery import TARGET
from svcjobs_celery_compat.bin.worker_options import (
    Autoscale,
    CeleryBeat,
    Hostname,
    WorkersPool,
    concurrency_value,
    pool_name,
    setting,
)
from svcjobs_celery_compat.exceptions import SecurityError
from svcjobs_celery_compat.platforms import EX_FAILURE, EX_OK, create_pidlock, detached, maybe_drop_privileges
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.nodenames import default_nodename, host_format, node_format
from svcjobs_celery_compat.utils.sysinfo import AUTO_CONCURRENCY
from svcjobs_celery_compat.worker import launch

__all__ = ("AUTO_CONCURRENCY", "Autoscale", "CeleryBeat", "Hostname", "WorkersPool", "worker")

logger = get_logger(__name__)

WORKER, POOL, QUEUE = "Worker Options", "Pool Options", "Queue Options"
FEATURES, BEAT, ENGINE = "Features", "Embedded Beat Options", "Options of svcjobs"

RETRY_DISABLED = (
    "Retrying to establish a connection to the message broker after a connection loss has been disabled "
    "(app.conf.broker_connection_retry_on_startup=False). Shutting down..."
)


def _named(path: Any, hostname: str) -> Any:
    return node_format(path, hostname) if path else path


@click.command(cls=CeleryDaemonCommand, context_settings={"allow_extra_args": True})
@click.option(
    "-n",
    "--hostname",
    default=lambda: None,
    cls=CeleryOption,
    type=Hostname(),
    help_group=WORKER,
    help="Set custom hostname (e.g., 'w1@%%h').  Expands: %%h (hostname), %%n (name) and %%d, (domain).",
)
@click.option(
    "-D",
    "--detach",
    cls=CeleryOption,
    is_flag=True,
    default=False,
    help_group=WORKER,
    help="Start worker as a background process.",
)
@click.option(
    "-S",
    "--statedb",
    cls=CeleryOption,
    type=click.Path(),
    callback=setting("worker_state_db"),
    help_group=WORKER,
    help="Path to the state database.",
)
@click.option(
    "-l", "--loglevel", default="WARNING", cls=CeleryOption, type=LOG_LEVEL, help_group=WORKER, help="Logging level."
)
@click.option(
    "-O",
    "--optimization",
    default="default",
    cls=CeleryOption,
    type=click.Choice(("default", "fair")),
    help_group=WORKER,
    help="Apply optimization profile; tasks are handed out fairly anyway.",
)
@click.option(
    "--prefetch-multiplier",
    type=int,
    metavar="<prefetch multiplier>",
    cls=CeleryOption,
    help_group=WORKER,
    callback=setting("worker_prefetch_multiplier"),
    help="Taken for compatibility: a worker holds what it is about to start.",
)
@click.option(
    "--disable-prefetch",
    is_flag=True,
    default=None,
    cls=CeleryOption,
    help_group=WORKER,
    help="Taken for compatibility, see --prefetch-multiplier.",
)
@click.option(
    "-c",
    "--concurrency",
    metavar="<concurrency>",
    callback=concurrency_value,
    cls=CeleryOption,
    help_group=POOL,
    help="Number of tasks at once; with prefork, of child processes. Default: the number of CPUs.",
)
@click.option(
    "-P",
    "--pool",
    default=lambda: None,
    type=str,
    cls=CeleryOption,
    help_group=POOL,
    callback=pool_name,
    help="Pool implementation: " + ", ".join(concurrency.get_available_pool_names()) + ".",
)
@click.option(
    "-E",
    "--task-events",
    "--events",
    is_flag=True,
    default=None,
    cls=CeleryOption,
    help_group=POOL,
    callback=setting("worker_send_task_events"),
    help="Send task-related events that can be captured by monitors like celery events, celerymon, and others.",
)
@click.option(
    "--time-limit",
    type=float,
    cls=CeleryOption,
    help_group=POOL,
    callback=setting("task_time_limit"),
    help="Enables a hard time limit (in seconds int/float) for tasks.",
)
@click.option(
    "--soft-time-limit",
    type=float,
    cls=CeleryOption,
    help_group=POOL,
    callback=setting("task_soft_time_limit"),
    help="Enables a soft time limit (in seconds int/float) for tasks.",
)
@click.option(
    "--max-tasks-per-child",
    type=int,
    cls=CeleryOption,
    help_group=POOL,
    callback=setting("worker_max_tasks_per_child"),
    help="Maximum number of tasks a process runs before it is replaced by a new one.",
)
@click.option(
    "--pool-start-method",
    type=click.Choice(("fork", "spawn")),
    cls=CeleryOption,
    help_group=POOL,
    help="Taken for compatibility: processes are forked off one that has imported nothing of yours.",
)
@click.option(
    "--max-memory-per-child",
    type=int,
    cls=CeleryOption,
    help_group=POOL,
    callback=setting("worker_max_memory_per_child"),
    help="Resident memory, in KiB, from which a process is replaced after its task.",
)
@click.option("--purge", "--discard", is_flag=True, cls=CeleryOption, help_group=QUEUE)
@click.option("-Q", "--queues", type=COMMA_SEPARATED_LIST, cls=CeleryOption, help_group=QUEUE)
@click.option("-X", "--exclude-queues", type=COMMA_SEPARATED_LIST, cls=CeleryOption, help_group=QUEUE)
@click.option("-I", "--include", type=COMMA_SEPARATED_LIST, cls=CeleryOption, help_group=QUEUE)
@click.option("--without-gossip", is_flag=True, cls=CeleryOption, help_group=FEATURES)
@click.option("--without-mingle", is_flag=True, cls=CeleryOption, help_group=FEATURES)
@click.option("--without-heartbeat", is_flag=True, cls=CeleryOption, help_group=FEATURES)
@click.option("--heartbeat-interval", type=int, cls=CeleryOption, help_group=FEATURES)
@click.option(
    "--autoscale",
    type=Autoscale(),
    cls=CeleryOption,
    help_group=FEATURES,
    help="MAX,MIN: run between so many tasks at once, by the load.",
)
@click.option("-B", "--beat", is_flag=True, cls=CeleryOption, help_group=BEAT)
@click.option(
    "-s",
    "--schedule-filename",
    "--schedule",
    cls=CeleryOption,
    help_group=BEAT,
    callback=lambda ctx, _, value: value or ctx.obj.app.conf.beat_schedule_filename,
)
@click.option("--scheduler", cls=CeleryOption, help_group=BEAT)
@click.option("--grace", type=SECONDS_OR_NONE, default=25, show_default=True, cls=CeleryOption,
              help_group=ENGINE, help="Seconds for running tasks after SIGTERM; then they are given back.")  # fmt: skip
@click.option("--health-port", type=click.IntRange(0, 65535), cls=CeleryOption, help_group=ENGINE,
              help="Answer /livez, /readyz and /metrics there.")  # fmt: skip
@click.option("--keep-log-lines", type=click.IntRange(0, 1000), default=0, cls=CeleryOption, help_group=ENGINE,
              help="Keep the last lines that a task logs, so many, for `svcjobs job`. Default: none.")  # fmt: skip
@click.pass_context
@handle_preload_options
def worker(  # noqa: C901 - one step for each option
    ctx: click.Context,
    /,
    hostname: str | None = None,
    pool: Any = None,
    loglevel: Any = None,
    logfile: str | None = None,
    pidfile: str | None = None,
    statedb: str | None = None,
    **kwargs: Any,
) -> None:
    """Start worker instance.

    \b
    Examples
    --------
    \b
    $ celery --app=proj worker -l INFO
    $ celery -A proj worker -l INFO -Q hipri,lopri
    $ celery -A proj worker --concurrency=4
    """
    app = ctx.obj.app
    if ctx.args:
        try:
            app.config_from_cmdline(ctx.args, namespace="worker")
        except (KeyError, ValueError) as exc:
            raise click.UsageError(f"Unable to parse extra configuration from command line.\nReason: {exc}") from exc
    hostname = hostname or host_format(default_nodename(None))
    if kwargs.pop("detach", False):
        ctx.exit(_detached(ctx, hostname, logfile, pidfile, kwargs))
    maybe_drop_privileges(uid=kwargs.pop("uid", None), gid=kwargs.pop("gid", None))
    executable = kwargs.pop("executable", None)
    umask = kwargs.pop("umask", None)
    if umask is not None:
        os.umask(umask if isinstance(umask, int) else int(str(umask), 8))
    if (disable_prefetch := kwargs.pop("disable_prefetch", None)) is not None:
        app.conf.worker_disable_prefetch = disable_prefetch
    grace, port, kept_lines = kwargs.pop("grace"), kwargs.pop("health_port"), kwargs.pop("keep_log_lines")
    purge = kwargs.pop("purge")
    options = {
        **kwargs, "hostname": hostname, "pool": pool, "loglevel": loglevel, "logfile": logfile,
        "statedb": statedb, "no_color": ctx.obj.no_color or None, "quiet": ctx.obj.quiet,
    }  # fmt: skip
    alone = app.connection_for_read().transport.driver_type == "memory"  # no other process could see its messages
    if not alone:
        launch.drop_steps(app)
    try:
        configured = app.Worker(**options, pidfile=_named(pidfile, hostname))
    except SecurityError as exc:
        ctx.obj.error(str(exc))
        ctx.exit(EX_FAILURE)
    if (refusal := _refused(app)) is not None:
        logger.critical("%s", refusal)
        ctx.obj.error(refusal)
        ctx.exit(EX_FAILURE)
    if Rehearsal.is_this():
        ctx.exit(EX_OK)
    if alone:
        configured.start()
        ctx.exit(configured.exitcode or EX_OK)
    if purge and not Inheritance.is_there():  # what SIGHUP and pool_restart start anew goes on with the tasks that wait
        configured.purge_messages()
    plan = launch.plan_of(
        configured, ctx.meta.get(TARGET), options, grace_seconds=grace, ports=[] if port is None else [port],
        kept_lines=kept_lines,
    )  # fmt: skip
    if plan.pidfile:
        create_pidlock(plan.pidfile)
    launch.execute(plan, executable)


def _refused(app: Any) -> str | None:
    """Why the worker can't start; None when it can. A broker that is away is waited for, if the settings say so."""
    conf = app.conf
    retries = conf.broker_connection_retry_on_startup
    waits = conf.broker_connection_retry if retries is None else retries
    with app.connection_for_read() as connection:
        try:
            connection.connect()
        except connection.connection_errors as exc:
            return None if waits else f"Cannot connect to {connection.as_uri()}: {exc}\n{RETRY_DISABLED}"
        except Exception as exc:  # noqa: BLE001 - a broker that svcjobs doesn't speak to, or wrong options
            return f"Cannot connect to {connection.as_uri()}: {exc}" + ("" if waits else f"\n{RETRY_DISABLED}")
    return None


def _detached(
    ctx: click.Context, hostname: str, logfile: str | None, pidfile: str | None, options: dict[str, Any]
) -> int:
    """Start the same command in the background."""
    argv = [argument for argument in sys.orig_argv if argument not in ("-D", "--detach")]
    return detach(
        options.get("executable") or sys.executable, argv, logfile=_named(logfile, hostname),
        pidfile=_named(pidfile, hostname), uid=options.get("uid"), gid=options.get("gid"),
        umask=options.get("umask"), workdir=ctx.obj.workdir, app=ctx.obj.app, hostname=hostname,
    )  # fmt: skip


def detach(
    path: str, argv: list[str], logfile: str | None = None, pidfile: str | None = None, uid: Any = None,
    gid: Any = None, umask: Any = None, workdir: str | None = None, fake: bool = False, app: Any = None,
    executable: str | None = None, hostname: str | None = None,
) -> int:  # fmt: skip
    """Execute a program in the background; returns an exit code when that failed."""
    with detached(logfile, pidfile, uid, gid, umask, workdir, fake, after_forkers=False):
        try:
            os.execv(executable or path, argv)  # noqa: S606 - the user's own command
        except OSError:
            if app is not None:
                app.log.setup_logging_subsystem("ERROR", logfile, hostname=hostname)
            logger.critical("Can't exec %r", " ".join([path, *argv]), exc_info=True)
            return EX_FAILURE
