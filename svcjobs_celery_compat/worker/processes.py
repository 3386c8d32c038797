"""The lives of a worker's processes, each from its fork to its exit code."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from svcjobs.census import ChildPipes
from svcjobs.child import ChildPlan, leave_in_time, run_child
from svcjobs.cli.lives import WorkerPlan, keep, told
from svcjobs.cli.queues import Place
from svcjobs.easy import open_client
from svcjobs.job_log import JournalHandler
from svcjobs.journal import Journal
from svcjobs.journal_store import JournalStore
from svcjobs.limits import Limits
from svcjobs.place import Crew
from svcjobs.recycling import Recycling
from svcjobs.rehearsal import Rehearsal
from svcjobs.reports import Report, send
from svcjobs.supervisor import Supervisor
from svcjobs_celery_compat.exceptions import SecurityWarning
from svcjobs_celery_compat.utils.log import current_process
from svcjobs_celery_compat.worker.launch import Plan, drop_steps, load_app, read_plan
from svcjobs_celery_compat.worker.logical_clock import SharedClock, clock_places
from svcjobs_celery_compat.worker.state import exit_code

REPORT_SECONDS = 1.0


def main() -> int:
    """Supervise the worker of the plan in the environment; returns its exit code."""
    plan = read_plan()
    _log(plan)
    places = clock_places(plan.most_children + 1)
    answering = functools.partial(_answer_or_stop, plan, places)
    lives = [
        functools.partial(told, functools.partial(_work, plan, places, number + 1))
        for number in range(plan.most_children)
    ]
    keeper = functools.partial(told, functools.partial(keep, _native(plan), datetime.now(UTC)))
    # what a restart executes is the command that the user gave, which reads the settings anew
    sys.orig_argv[:] = plan.argv
    pidfile = Path(plan.pidfile) if plan.pidfile else None
    if pidfile is not None:
        pidfile.write_text(f"{os.getpid()}\n")
    try:
        crew = Crew(lives, plan.children)
        return Supervisor([answering], keeper, grace_seconds=plan.grace_seconds, crew=crew, rehearsal=Rehearsal()).run()
    finally:
        shutil.rmtree(Path(plan.folder).parent, ignore_errors=True)
        if pidfile is not None:
            with contextlib.suppress(OSError):  # in a folder that may not be written to any more
                pidfile.unlink()


def _grace(worker: Any) -> float:
    """How long it may take from a SIGTERM on; the second one ends the grace."""
    return 0.0 if worker.exitcode is not None else float(worker.grace_seconds)


def _log(plan: Plan) -> None:
    """The supervisor's own lines, until the app's log is set up in the other processes."""
    handler: logging.Handler = logging.FileHandler(plan.logfile) if plan.logfile else logging.StreamHandler()
    handler.setFormatter(logging.Formatter(plan.log_format))
    logging.basicConfig(level=max(plan.loglevel, logging.WARNING), handlers=[handler])


def _native(plan: Plan) -> WorkerPlan:
    """The plan in the words of ``svcjobs worker``, for the keeper."""
    return WorkerPlan(
        name=plan.hostname, target=None, queues=(), place=Place("redis", plan.url), pool=plan.pool,
        children=plan.children, concurrency=plan.concurrency, scheduled=False, grace_seconds=plan.grace_seconds,
        lease_seconds=plan.lease_seconds, limits=_limits(plan), max_jobs=plan.max_tasks,
        max_memory_kib=plan.max_memory_kib, max_age_seconds=None, ports=plan.ports, allow_eviction=False,
    )  # fmt: skip


def _limits(plan: Plan) -> Limits:
    soft = plan.soft_seconds
    # one that isn't below the hard limit would be seen by no task
    return Limits(None if plan.hard_seconds and soft and soft >= plan.hard_seconds else soft, plan.hard_seconds)


def _forget_supervisor() -> None:
    """Have neither its log handlers nor the warnings that it gave when it read the command line."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    warnings.simplefilter("ignore", SecurityWarning)


def _work(plan: Plan, places: memoryview, number: int, pipes: ChildPipes) -> int:
    """Run tasks."""
    multiprocessing.current_process().name = name = f"ForkPoolWorker-{number}"
    if plan.pool == "prefork":  # tasks ask billiard which process they are in, and %i in the name of a log file does
        process = current_process()
        process.name, process.index = name, number - 1
    _forget_supervisor()
    app = load_app(plan)
    app.clock = SharedClock(places, number)
    from svcjobs_celery_compat.worker.station import Station

    drop_steps(app)
    worker = app.Worker(**{**plan.options, "quiet": True, "beat": False})
    if plan.kept_lines:
        _keep_lines()
    broker_of: list[Any] = []

    def load() -> Any:
        from svcjobs_celery_compat.worker.broker import Broker

        broker = Broker(app)
        broker_of.append(broker)
        worker.log_prints()  # not what is printed before: a traceback is no line of the log for each of its own
        station = Station(app, plan.hostname, broker, task_events=worker.task_events, meets_at=plan.socket)
        return station.application

    def open_queues(_application: Any) -> Any:
        return [broker_of[0].open(queue) for queue in app.amqp.queues.consume_from.values()]

    recycling = Recycling(plan.max_tasks, plan.max_memory_kib, None)
    return run_child(
        load,
        open_queues,
        ChildPlan(plan.pool, plan.concurrency, plan.grace_seconds, _limits(plan), recycling, bool(plan.ports)),
        pipes,
        lambda: Journal(JournalStore(open_client(plan.url)), lines=plan.kept_lines),
    )


def _keep_lines() -> None:
    """Keep with each task what is logged inside of it; the log is set up by now."""
    handler, tasks = JournalHandler(), logging.getLogger("celery.task")
    logging.getLogger().addHandler(handler)
    if not tasks.propagate:
        tasks.addHandler(handler)


def _answer_or_stop(plan: Plan, places: memoryview, pipes: ChildPipes) -> int:
    """Answer for the worker; where that can't even begin, as a user's step raises, the whole worker ends."""
    made: list[Any] = []
    try:
        code = told(functools.partial(_answer, plan, places, made), pipes)
    except SystemExit as leaving:
        code = exit_code(leaving.code)
    if not made:
        from svcjobs_celery_compat.worker.process_crew import ask_to_stop

        _end_all(functools.partial(ask_to_stop, functools.partial(send, pipes.supervisor), code))
    return code


def _end_all(ask: Callable[[], object]) -> None:
    """Let the supervisor end all processes; this one, if it ended before it is told so, would be started again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    ask()
    signal.sigwait([signal.SIGTERM])


def _answer(plan: Plan, places: memoryview, made: list[Any], pipes: ChildPipes) -> int:
    """Answer for the worker: remote control, heartbeats, and the steps that users add."""
    _forget_supervisor()
    app = load_app(plan)
    app.clock = SharedClock(places, 0)
    from svcjobs_celery_compat.worker.process_crew import ProcessCrew

    def make_crew(worker: Any) -> ProcessCrew:
        return ProcessCrew(worker, plan, functools.partial(send, pipes.supervisor))

    kind = type("Worker", (app.Worker,), {"make_crew": make_crew, "grace_seconds": plan.grace_seconds})
    worker: Any = kind(**plan.options)
    made.append(worker)
    threading.Thread(target=_report, args=[pipes], daemon=True).start()
    _stop_with_signal(worker)
    worker.start()
    if worker.ends_all:
        _end_all(functools.partial(worker.crew.stop_worker, worker.exitcode))
    return int(worker.exitcode or 0)


def _stop_with_signal(worker: Any) -> None:
    from svcjobs_celery_compat.apps.worker import _shutdown_handler

    stops: queue.SimpleQueue[float] = queue.SimpleQueue()
    leave_in_time(stops, lambda: False)  # a step that a user added may hang
    _shutdown_handler(worker, sig="SIGTERM", how="Warm", callback=lambda worker: stops.put(_grace(worker)))
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes it on


def _report(pipes: ChildPipes) -> None:
    """Tell the keeper that this process, which holds no job, lives."""
    while True:
        send(pipes.reports, Report(os.getpid()).encode())
        time.sleep(REPORT_SECONDS)
