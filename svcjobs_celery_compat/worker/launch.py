"""From a configured worker to its processes.

The program that read the command line has imported the app, to know its settings. What it found is written down as a
:class:`Plan`, and the program executes itself as one that has imported nothing of the user's: the supervisor, which
forks the others (see ``docs/adr/016-remote-control.md``).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from svcjobs.limits import HARD_LIMIT_POOLS
from svcjobs.reports import MOST_JOBS
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.nodenames import node_format
from svcjobs_celery_compat.worker.server_url import server_url

logger = get_logger("celery.worker")

PLAN = "SVCJOBS_CELERY_WORKER"
"""Environment variable with the plan; it may hold a password, which no command line should."""
FOLDER = "SVCJOBS_CELERY_FOLDER"
"""Environment variable with the folder that a worker keeps through its restarts."""
ROOM = 32
"""So many processes more than it was started with, a worker may have while it runs."""


@dataclass(frozen=True)
class Plan:
    """What the processes of a worker have to know, as plain values.

    Args:
        target: names the app, as ``-A`` does; None is the default app.
        path: where modules are imported from.
        alias: whether ``import celery`` means this package.
        argv: the command line, for a restart.
        options: of the worker.
        hostname: its name.
        pool: the engine's.
        children: how many processes run tasks.
        most_children: how many there may be.
        concurrency: how many tasks at once in each.
        soft_seconds, hard_seconds: limits.
        max_tasks, max_memory_kib: when a process is replaced.
        url: of the server.
        lease_seconds: how long a message stays with a dead worker.
        grace_seconds: how long tasks may run on after a stop.
        ports: where probes and Prometheus ask.
        kept_lines: log lines of each task that are kept.
        pidfile: keeps the supervisor's pid.
        log_format: of the supervisor's own lines.
        loglevel: of the log.
        logfile: where it goes.
        folder: where the processes of this start meet, in the worker's own folder.
    """

    target: str | None
    path: list[str]
    alias: bool
    argv: list[str]
    options: dict[str, Any]
    hostname: str
    pool: str
    children: int
    most_children: int
    concurrency: int
    soft_seconds: float | None
    hard_seconds: float | None
    max_tasks: int | None
    max_memory_kib: int | None
    url: str
    lease_seconds: float
    grace_seconds: float
    ports: list[int] = field(default_factory=list)
    kept_lines: int = 0
    pidfile: str | None = None
    log_format: str = ""
    loglevel: int = 20
    logfile: str | None = None
    folder: str = ""

    @property
    def most(self) -> int:
        """How many tasks may run at once at most."""
        return {"prefork": self.most_children, "solo": 1}.get(self.pool, MOST_JOBS)

    @property
    def socket(self) -> str:
        """Where the processes meet."""
        return f"{self.folder}/remote-control"


def plan_of(worker: Any, target: str | None, options: Mapping[str, Any], **native: Any) -> Plan:
    """The plan of a worker that was configured, and isn't to run in this process.

    Args:
        worker: a :class:`~svcjobs_celery_compat.worker.WorkController`.
        target: the app's name.
        options: the worker's, plain values only.
        **native: further fields of the plan.
    """
    app = worker.app
    pool = worker.pool_cls.engine_pool
    alone = pool in ("prefork", "solo")
    hard, soft = worker.time_limit, worker.soft_time_limit
    if hard is not None and pool not in HARD_LIMIT_POOLS:
        logger.warning("The pool %s can't kill a task: its time limit is raised in the task, as a soft one", pool)
        soft, hard = min(soft or hard, hard), None
    with app.connection_for_read() as connection:
        url = server_url(connection)
        lease_seconds = connection.transport.options.visibility_timeout
    return Plan(
        target=target,
        path=[os.path.realpath(entry or ".") for entry in sys.path],
        alias=sys.modules.get("celery") is sys.modules["svcjobs_celery_compat"],
        argv=list(sys.orig_argv),
        options=dict(options),
        hostname=worker.hostname,
        pool=pool,
        children=worker.concurrency if pool == "prefork" else 1,
        most_children=worker.max_concurrency + ROOM if pool == "prefork" else 1,
        concurrency=1 if alone else min(worker.concurrency, MOST_JOBS),
        soft_seconds=soft,
        hard_seconds=hard,
        max_tasks=worker.max_tasks_per_child,
        max_memory_kib=worker.max_memory_per_child,
        url=url,
        lease_seconds=lease_seconds,
        pidfile=worker.pidfile,
        log_format=app.conf.worker_log_format,
        loglevel=worker.loglevel or 30,
        logfile=worker.logfile and node_format(worker.logfile, worker.hostname),
        **native,
    )


def execute(plan: Plan, executable: str | None = None) -> NoReturn:
    """Become the supervisor of that plan."""
    home = _home()
    text = json.dumps({**asdict(plan), "folder": tempfile.mkdtemp(dir=home)})
    python = executable or sys.executable
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, PLAN: text, FOLDER: home}
    os.execve(python, [python, "-m", "svcjobs_celery_compat.worker"], environment)  # noqa: S606


def _home() -> str:
    """The worker's folder: that of its start before a restart, which processes of then may still use, or a new one."""
    name = f"svcjobs-celery-{os.getpid()}-"
    home = Path(os.environ.get(FOLDER, ""))
    # it may also be that of a worker one of whose tasks has started this one
    return str(home) if home.name.startswith(name) and home.is_dir() else tempfile.mkdtemp(prefix=name)


def read_plan() -> Plan:
    """The plan that :func:`execute` handed over.

    Raises:
        SystemExit: there is none.
    """
    text = os.environ.pop(PLAN, None)
    if text is None:
        sys.exit("this is what `celery worker` becomes: start that")
    return Plan(**json.loads(text))


def load_app(plan: Plan) -> Any:
    """Import the app of a plan, in a process of its worker."""
    sys.path[:] = plan.path
    if plan.alias:
        from svcjobs_celery_compat import alias

        alias.install()
    from svcjobs_celery_compat._state import get_current_app
    from svcjobs_celery_compat.app.utils import find_app

    return find_app(plan.target) if plan.target else get_current_app()


def drop_steps(app: Any) -> None:
    """Forget the steps that users add, in a process of a worker that isn't the one to run them: they are made once."""
    for steps in app.steps.values():
        steps.clear()
