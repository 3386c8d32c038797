"""The worker as a program sees it: its settings, its parts, and its end."""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
from datetime import UTC, datetime
from importlib import reload as reload_module
from typing import Any

from svcjobs_celery_compat import bootsteps, signals
from svcjobs_celery_compat import concurrency as _concurrency
from svcjobs_celery_compat.concurrency.prefork import TaskPool as PreforkPool
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, WorkerTerminate
from svcjobs_celery_compat.platforms import EX_FAILURE, create_pidlock
from svcjobs_celery_compat.utils.imports import reload_from_cwd
from svcjobs_celery_compat.utils.log import get_logger, mlevel
from svcjobs_celery_compat.utils.nodenames import default_nodename, worker_direct
from svcjobs_celery_compat.utils.sysinfo import cpu_budget, is_auto_concurrency
from svcjobs_celery_compat.utils.text import str_to_list
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.broker import Broker
from svcjobs_celery_compat.worker.crew import Crew, ThreadCrew

__all__ = ("WorkController",)

logger = get_logger("celery.worker")

SELECT_UNKNOWN_QUEUE = """
Trying to select queue subset of {0!r}, but queue {1} isn't
defined in the `task_queues` setting.

If you want to automatically declare unknown queues you can
enable the `task_create_missing_queues` setting.
"""
DESELECT_UNKNOWN_QUEUE = """
Trying to deselect queue subset of {0!r}, but queue {1} isn't
defined in the `task_queues` setting.
"""
GRACE_SECONDS = 25.0
"""How long running tasks may go on after a stop."""


class WorkController:
    """A worker in this process: its tasks run in threads.

    ``celery worker`` runs one with child processes instead; there this is the process that answers for them.

    Args:
        app: the app.
        hostname: the worker's name, ``celery@host`` by default.
        **kwargs: as the options of ``celery worker``, with underscores.
    """

    app: Any = None
    pidlock: Any = None
    blueprint: Any = None
    pool: Any = None
    consumer: Any = None
    timer: Any = None
    autoscaler: Any = None
    min_concurrency: int = 1
    _load: Broker | None = None
    crew: Crew
    exitcode: int | None = None
    _thread: threading.Thread | None = None
    grace_seconds = GRACE_SECONDS
    ends_all = False
    """Whether all of its processes are to end: user code raised SystemExit, or the start failed."""
    _was_ready = False

    class Blueprint(bootsteps.Blueprint):
        """The steps of a worker."""

        name = "Worker"
        default_steps = [  # noqa: RUF012 - Celery's extension point
            "svcjobs_celery_compat.worker.components:Hub",
            "svcjobs_celery_compat.worker.components:Pool",
            "svcjobs_celery_compat.worker.components:Beat",
            "svcjobs_celery_compat.worker.components:Timer",
            "svcjobs_celery_compat.worker.components:StateDB",
            "svcjobs_celery_compat.worker.autoscale:WorkerComponent",
            "svcjobs_celery_compat.worker.components:Consumer",
        ]

    def __init__(self, app: Any = None, hostname: str | None = None, **kwargs: Any) -> None:
        self.app = app or self.app
        self.hostname = default_nodename(hostname)
        self.startup_time = datetime.now(UTC)
        self.app.loader.init_worker()
        self.on_before_init(**kwargs)
        self.setup_defaults(**kwargs)
        self.on_after_init(**kwargs)
        self.setup_instance(**self.prepare_args(**kwargs))

    # from the settings to the parts

    def setup_defaults(
        self, concurrency: Any = None, loglevel: Any = "WARN", logfile: Any = None, task_events: Any = None,
        pool: Any = None, consumer_cls: Any = None, timer_cls: Any = None, timer_precision: Any = None,
        autoscaler_cls: Any = None, pool_putlocks: Any = None, pool_restarts: Any = None, optimization: Any = None,
        O: Any = None, statedb: Any = None, time_limit: Any = None, soft_time_limit: Any = None,  # noqa: E741
        scheduler: Any = None, pool_cls: Any = None, state_db: Any = None, task_time_limit: Any = None,
        task_soft_time_limit: Any = None, scheduler_cls: Any = None, schedule_filename: Any = None,
        max_tasks_per_child: Any = None, prefetch_multiplier: Any = None, disable_rate_limits: Any = None,
        worker_lost_wait: Any = None, max_memory_per_child: Any = None, pool_start_method: Any = None, **_kw: Any,
    ) -> None:  # fmt: skip
        """Each option as given, else by its setting."""
        either = self.app.either
        self.loglevel, self.logfile = loglevel, logfile
        self.concurrency = either("worker_concurrency", concurrency)
        self.task_events = either("worker_send_task_events", task_events)
        self.pool_cls = either("worker_pool", pool, pool_cls)
        self.consumer_cls = either("worker_consumer", consumer_cls)
        self.timer_cls = either("worker_timer", timer_cls)
        self.timer_precision = either("worker_timer_precision", timer_precision)
        self.optimization = optimization or O
        self.autoscaler_cls = either("worker_autoscaler", autoscaler_cls)
        self.pool_putlocks = either("worker_pool_putlocks", pool_putlocks)
        self.pool_restarts = either("worker_pool_restarts", pool_restarts)
        self.statedb = either("worker_state_db", statedb, state_db)
        self.schedule_filename = either("beat_schedule_filename", schedule_filename)
        self.scheduler = either("beat_scheduler", scheduler, scheduler_cls)
        self.time_limit = either("task_time_limit", time_limit, task_time_limit)
        self.soft_time_limit = either("task_soft_time_limit", soft_time_limit, task_soft_time_limit)
        self.max_tasks_per_child = either("worker_max_tasks_per_child", max_tasks_per_child)
        self.max_memory_per_child = either("worker_max_memory_per_child", max_memory_per_child)
        self.prefetch_multiplier = int(either("worker_prefetch_multiplier", prefetch_multiplier))
        self.disable_rate_limits = either("worker_disable_rate_limits", disable_rate_limits)
        self.worker_lost_wait = either("worker_lost_wait", worker_lost_wait)

    def prepare_args(self, **kwargs: Any) -> dict[str, Any]:
        """A place for subclasses to change the options."""
        return kwargs

    def setup_instance(
        self, queues: Any = None, ready_callback: Any = None, pidfile: Any = None, include: Any = None,
        use_eventloop: Any = None, exclude_queues: Any = None, autoscale: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Make the parts."""
        self.pidfile = pidfile
        self.setup_queues(queues, exclude_queues)
        self.setup_includes(str_to_list(include))
        self.loglevel = mlevel(self.loglevel) if self.loglevel else self.loglevel
        self.ready_callback = ready_callback or self.on_consumer_ready
        self.use_eventloop = False
        self.options = kwargs
        signals.worker_init.send(sender=self)
        # after the signal, whose receivers may patch what pools import
        named = self.pool_cls
        self.pool_cls = _concurrency.get_implementation(self.pool_cls)
        self._sized: tuple[Any, ...] = ()
        self.concurrency = self.max_concurrency = self._resolved_concurrency(named)
        self.autoscale = autoscale
        if autoscale:
            self.max_concurrency, self.min_concurrency = max(autoscale), max(1, min(autoscale))
            self.concurrency = self.min_concurrency
        self.crew = self.make_crew()
        self.steps: list[Any] = []
        self._stop_asked = threading.Event()
        self.on_init_blueprint()
        self.blueprint = self.Blueprint(
            steps=self.app.steps["worker"], on_start=self.on_start, on_close=self.on_close, on_stopped=self.on_stopped
        )
        self.blueprint.apply(self, **kwargs)

    def _resolved_concurrency(self, named: Any) -> int:
        wanted = self.concurrency
        if is_auto_concurrency(wanted):
            by_quota = issubclass(self.pool_cls, PreforkPool)
            budget = cpu_budget(use_cgroup_quota=by_quota)
            quota = "no cgroup cpu quota found" if budget.quota is None else f"cgroup cpu quota {budget.quota:g}"
            why = quota if by_quota else "a quota only sizes the prefork pool"
            pool = named if isinstance(named, str) else f"{named.__module__}:{named.__name__}"
            self._sized = (
                logging.INFO, "worker_concurrency='auto' resolved to %d (pool=%s, %d CPUs available, %s)",
                budget.count, pool, budget.available, why,
            )  # fmt: skip
            return budget.count
        try:
            return int(wanted or 0) or os.cpu_count() or 2
        except ValueError:
            count = os.cpu_count() or 2
            self._sized = logging.WARNING, "worker_concurrency=%r is no number: %d is taken", wanted, count
            return count

    def make_crew(self) -> Any:
        """Those who run the tasks."""
        return ThreadCrew(self)

    def make_pool(self) -> Any:
        """The pool, as it is shown."""
        pool = self.pool_cls(
            self.concurrency, app=self.app, putlocks=self.pool_putlocks, timeout=self.time_limit,
            soft_timeout=self.soft_time_limit, maxtasksperchild=self.max_tasks_per_child,
        )  # fmt: skip
        pool.options["crew"] = self.crew
        pool.end_task = self.crew.terminate
        pool.resize, pool.most = self.crew.resize, self.crew.most
        return pool

    def setup_queues(self, include: Any, exclude: Any = None) -> None:
        """Choose the queues.

        Raises:
            ImproperlyConfigured: one isn't configured, and ``task_create_missing_queues`` is off.
        """
        include, exclude = str_to_list(include), str_to_list(exclude)
        try:
            self.app.amqp.queues.select(include)
        except KeyError as exc:
            raise ImproperlyConfigured(SELECT_UNKNOWN_QUEUE.strip().format(include, exc)) from exc
        try:
            self.app.amqp.queues.deselect(exclude)
        except KeyError as exc:
            raise ImproperlyConfigured(DESELECT_UNKNOWN_QUEUE.strip().format(exclude, exc)) from exc
        if self.app.conf.worker_direct:
            self.app.amqp.queues.select_add(worker_direct(self.hostname))

    def setup_includes(self, includes: Any) -> None:
        """Import the modules with tasks."""
        previous = tuple(self.app.conf.include)
        if includes:
            previous += tuple(includes)
            for module in includes:
                self.app.loader.import_task_module(module)
        self.include = includes
        own = {task.__class__.__module__ for task in self.app.tasks.values()}
        self.app.conf.include = tuple(set(previous) | own)

    # places for subclasses

    def on_init_blueprint(self) -> None:
        """The steps are about to be made."""

    def on_before_init(self, **kwargs: Any) -> None:
        """Nothing is set yet."""

    def on_after_init(self, **kwargs: Any) -> None:
        """The settings are known."""

    def on_start(self) -> None:
        """The steps are about to start."""
        if self._sized:  # not sooner: only now there is a log
            logger.log(*self._sized)
        if self.pidfile:
            self.pidlock = create_pidlock(self.pidfile)

    def on_consumer_ready(self, consumer: Any) -> None:
        """Tasks are fetched."""

    def on_close(self) -> None:
        """The end comes."""
        self.app.loader.shutdown_worker()

    def on_stopped(self) -> None:
        """All steps have stopped."""
        if self.timer is not None:
            self.timer.stop()
        self.consumer.shutdown()
        if self.pidlock:
            self.pidlock.release()

    # the life

    def start(self) -> None:
        """Run until :meth:`stop`, or until remote control says so."""
        self._thread = threading.current_thread()
        try:
            self.blueprint.start(self)
        except WorkerTerminate:
            self.terminate()
        except (SystemExit, KeyboardInterrupt) as exc:
            self.ends_all = True
            self.stop(exitcode=state.exit_code(getattr(exc, "code", None)))
        except Exception as exc:
            logger.critical("Unrecoverable error: %r", exc, exc_info=True)
            self.ends_all = not self._was_ready
            self.stop(exitcode=EX_FAILURE)
        else:
            self.stop(exitcode=self.exitcode)

    def ready(self) -> None:
        """Tasks are fetched from now on."""
        self._was_ready = True
        signals.worker_ready.send(sender=self.consumer)
        self.ready_callback(self.consumer)

    def stop_from_remote(self, reason: SystemExit) -> None:
        """Remote control, or a flag of :mod:`svcjobs_celery_compat.worker.state`, ends the worker."""
        self.exitcode = state.exit_code(reason.code)
        self.crew.stop_worker(self.exitcode)
        if isinstance(reason, WorkerTerminate):
            self.grace_seconds = 0

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """Fetch no more, let running tasks end, and stop. May be called from any thread."""
        if exitcode is not None:
            self.exitcode = exitcode
        if self.blueprint.state != bootsteps.RUN:
            return
        if self.consumer is not None:
            self.consumer.stop()
        if threading.current_thread() is self._thread or self._thread is None:
            self._shutdown(warm=True)

    def terminate(self, in_sighandler: bool = False) -> None:
        """Stop, and give running tasks back."""
        self.grace_seconds = 0
        if self.blueprint.state == bootsteps.RUN:
            self.consumer.stop()
            self._shutdown(warm=False)

    def _shutdown(self, warm: bool = True) -> None:
        self.blueprint.stop(self, terminate=not warm)
        self.blueprint.join()
        signals.worker_shutdown.send(sender=self)

    def reload(self, modules: Any = None, reload: bool = False, reloader: Any = None) -> None:
        """Import modules, anew with `reload`, and restart the pool."""
        for module in set(self.app.loader.task_modules if modules is None else modules or ()):
            if reload and module in sys.modules:
                logger.debug("reloading module %s", module)
                reload_from_cwd(sys.modules[module], reloader or reload_module)
            elif module not in sys.modules:
                logger.debug("importing module %s", module)
                self.app.loader.import_from_cwd(module)
        if self.consumer:
            self.consumer.update_strategies()
            self.consumer.reset_rate_limits()
        try:
            self.pool.restart()
        except NotImplementedError:
            logger.info("this pool has no processes that could be restarted")

    # telling of it

    @property
    def state(self) -> Any:
        """:mod:`svcjobs_celery_compat.worker.state`."""
        return state

    def counts(self) -> tuple[int, int]:
        """How many tasks run, and how many ran, in all processes."""
        return self.crew.counts()

    def waiting(self) -> int:
        """How many tasks wait in the queues that this worker serves, due ones only."""
        if self._load is None:
            self._load = Broker(self.app)
        queues = self.app.amqp.queues.consume_from
        return sum(int(self._load.named(name).stats().ready) for name in list(queues))

    def info(self) -> dict[str, Any]:
        """The part of :meth:`stats` about the worker itself."""
        uptime = datetime.now(UTC) - self.startup_time
        return {
            "total": dict(state.total_count) if isinstance(state.total_count, dict) else state.total_count,
            "pid": os.getpid(),
            "clock": str(self.app.clock),
            "uptime": round(uptime.total_seconds()),
        }

    def rusage(self) -> dict[str, Any]:
        """What the process has used of the system."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        names = (
            "utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock", "oublock",
            "msgsnd", "msgrcv", "nsignals", "nvcsw", "nivcsw",
        )  # fmt: skip
        return {name: getattr(used, f"ru_{name}") for name in names}

    def stats(self) -> dict[str, Any]:
        """What ``inspect stats`` says."""
        info = {**self.info(), **self.blueprint.info(self), **self.consumer.blueprint.info(self.consumer)}
        return {**info, "rusage": self.rusage(), "prefetch_count": self.consumer.initial_prefetch_count}

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname} ({self.blueprint.human_state() if self.blueprint else 'INIT'})>"

    def __str__(self) -> str:
        return self.hostname

    def wait_for_soft_shutdown(self) -> None:
        """Running tasks have ``grace_seconds`` at each stop; there is nothing more to wait for."""
