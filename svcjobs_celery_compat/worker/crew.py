"""Those who run the tasks of a worker: here threads of this process, elsewhere its child processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from svcjobs.child import ChildPlan, Workplace
from svcjobs.consumer import Consumer as EngineConsumer
from svcjobs.hooks import Hooks
from svcjobs.keeping import OwnLeases
from svcjobs.limits import Limits
from svcjobs.pools.thread_pool import ThreadPool
from svcjobs.recycling import Recycling
from svcjobs.reports import MOST_JOBS
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.broker import Broker
from svcjobs_celery_compat.worker.station import Station

Reply = Any


class Crew(Protocol):
    """What a worker asks of those who run its tasks."""

    @property
    def pids(self) -> Sequence[int]:
        """Their processes."""
        ...

    def call(self, command: str, arguments: Mapping[str, Any]) -> list[Reply]:
        """Let each process other than this one obey a remote control command; returns what they answer."""
        ...

    def terminate(self, task_id: str, signum: int) -> None:
        """End a task that runs."""
        ...

    def start(self) -> None:
        """Run tasks, in threads or processes."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """Fetch no more, and let running tasks end within the grace."""
        ...

    def join(self) -> None:
        """Wait until all have stopped."""
        ...

    def stop_worker(self, exitcode: int = 0) -> None:
        """Let all processes of the worker stop, this one too, and the worker end with that code."""
        ...

    def restart(self) -> None:
        """Replace the processes.

        Raises:
            NotImplementedError: there are none.
        """
        ...

    def counts(self) -> tuple[int, int]:
        """How many tasks run, and how many ran."""
        ...

    @property
    def most(self) -> int:
        """How many tasks may run at once at most."""
        ...

    def resize(self, limit: int) -> None:
        """Run so many tasks at once from now on; none that runs is cut."""
        ...

    def take_from(self, queue: Any) -> None:
        """Take tasks from one more queue, kombu's."""
        ...

    def leave(self, name: str) -> None:
        """Take no more tasks from a queue."""
        ...


class ThreadCrew:
    """Threads of this process: for tests, and for programs that run a worker beside something else.

    A time limit is raised in the task, as a thread can't be killed.

    Args:
        controller: the worker.
    """

    def __init__(self, controller: Any) -> None:
        self.controller = controller
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        self._failed: BaseException | None = None
        self._pool: ThreadPool | None = None
        self._engine: EngineConsumer | None = None
        self._broker: Broker | None = None
        self.stations: list[Station] = []

    @property
    def pids(self) -> Sequence[int]:
        return [os.getpid()]

    def start(self) -> None:
        """Run tasks until :meth:`stop`.

        Raises:
            Exception: what a start-up hook raised, or the broker.
        """
        self._thread = threading.Thread(target=self._run_in_thread, name="svcjobs-crew", daemon=True)
        self._thread.start()
        self._running.wait()
        if self._failed is not None:
            raise self._failed

    def join(self) -> None:
        """Wait until all have stopped."""
        if self._thread is not None:
            self._thread.join()

    def _run_in_thread(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that started this one
            self._failed = error
        finally:
            self._running.set()

    def _run(self) -> None:
        controller = self.controller
        broker = self._broker = Broker(controller.app)
        station = Station(
            controller.app, controller.hostname, broker, controller.consumer, task_events=controller.task_events
        )
        self.stations = [station]
        application = station.application
        limits = Limits(controller.soft_time_limit, None, soft_error=application.soft_limit_error)
        plan = ChildPlan("threads", controller.concurrency, limits=limits)
        pool = self._pool = ThreadPool(controller.concurrency, limits)
        queues = [broker.open(queue) for queue in controller.app.amqp.queues.consume_from.values()]
        recycling = Recycling()
        engine = self._engine = EngineConsumer(queues, pool, OwnLeases(queues), recycling, None, Hooks(application))
        pool.ended = engine.ended
        application.joined(Workplace(plan, pool, engine))

        def consume() -> None:
            try:
                engine.run()
            finally:
                pool.stop()

        thread = threading.Thread(target=consume, name="svcjobs-io", daemon=True)

        def begin() -> None:
            thread.start()
            self._running.set()

        try:
            pool.run(application, begin)
            thread.join()
            engine.join()
        finally:
            for queue in queues:
                queue.close()
            broker.close()

    def stop(self, grace_seconds: float) -> None:
        """Fetch no more, and let running tasks end within the grace."""
        if self._engine is not None:
            self._engine.stop(grace_seconds)

    def call(self, command: str, arguments: Mapping[str, Any]) -> list[Reply]:
        # what is known of tasks lies in this process; only what each station has for itself is told on
        for station in self.stations:
            station.obey_own(command, arguments)
        return []

    def terminate(self, task_id: str, signum: int) -> None:
        for station in self.stations:
            station.terminate(task_id, signum)

    def stop_worker(self, exitcode: int = 0) -> None:
        """There is nobody else: the worker stops by itself."""

    def restart(self) -> None:
        raise NotImplementedError("threads can't be restarted")

    def counts(self) -> tuple[int, int]:
        return len(state.active_requests), state.all_total_count[0]

    @property
    def most(self) -> int:
        return MOST_JOBS

    def resize(self, limit: int) -> None:
        if self._pool is not None:
            self._pool.resize(limit)

    def take_from(self, queue: Any) -> None:
        if self._engine is not None and self._broker is not None:
            self._engine.take_from(self._broker.open(queue))

    def leave(self, name: str) -> None:
        if self._engine is not None and self._broker is not None:
            self._engine.leave(self._broker.named(name).name)
