"""What is known of a cluster."""

from __future__ import annotations

import threading
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from weakref import WeakSet, ref

from kombu.clocks import timetuple
from kombu.utils.functional import LRUCache

from svcjobs_celery_compat.events.state.task import Task as KnownTask
from svcjobs_celery_compat.events.state.worker import Worker as KnownWorker

Told = tuple[Any, str] | None
"""The worker or task of an event, whether it is new, and what was told; None for events of others."""


class CallableDefaultdict(defaultdict[Any, Any]):
    """A defaultdict that can be called, too: ``tasks_by_type['name']`` and ``tasks_by_type('name')``.

    Args:
        fun: what a call calls.
        *args: of the defaultdict.
    """

    def __init__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.fun = fun
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fun(*args, **kwargs)


class State:
    """Workers and tasks of a cluster, as their events tell.

    Args:
        callback: called with the state and each event.
        workers: known already, by name.
        tasks: known already, by id.
        taskheap: left for its place: the order of tasks is found anew.
        max_workers_in_memory: the least recently used are forgotten beyond this.
        max_tasks_in_memory: the same for tasks.
        on_node_join: called with a worker that comes online.
        on_node_leave: called with one that goes, which is forgotten then.
        tasks_by_type: ids of tasks by name.
        tasks_by_worker: ids of tasks by the worker's name.

    Attributes:
        event_count: events so far.
        task_count: tasks that workers received.
        handlers: for other kinds of events, or in the place of ours. ``handlers["order"]`` is called for ``order-paid``
            with ``"paid"`` and the event, and what it returns comes first in what :meth:`event` returns.
    """

    Worker = KnownWorker
    Task = KnownTask
    heap_multiplier = 4
    """How many events are kept in order, as a multiple of ``max_tasks_in_memory``."""

    def __init__(
        self,
        callback: Callable[[State, dict[str, Any]], object] | None = None,
        workers: Mapping[str, KnownWorker] | None = None,
        tasks: Mapping[str, KnownTask] | None = None,
        taskheap: object = None,
        max_workers_in_memory: int = 5000,
        max_tasks_in_memory: int = 10000,
        on_node_join: Callable[[KnownWorker], object] | None = None,
        on_node_leave: Callable[[KnownWorker], object] | None = None,
        tasks_by_type: Mapping[str, Iterable[str]] | None = None,
        tasks_by_worker: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self.event_callback = callback
        self.max_workers_in_memory = max_workers_in_memory
        self.max_tasks_in_memory = max_tasks_in_memory
        self.on_node_join, self.on_node_leave = on_node_join, on_node_leave
        self.event_count = self.task_count = 0
        self.handlers: dict[str, Callable[[str, dict[str, Any]], Any]] = {}
        self.workers: Any = LRUCache(max_workers_in_memory)
        self.workers.update(workers or {})
        self.tasks: Any = LRUCache(max_tasks_in_memory)
        self.tasks.update(tasks or {})
        self.tasks_by_type = CallableDefaultdict(self._tasks_by_type, WeakSet, self._sets(tasks_by_type))
        self.tasks_by_worker = CallableDefaultdict(self._tasks_by_worker, WeakSet, self._sets(tasks_by_worker))
        self._mutex = threading.Lock()
        self._seen_types = {task.name for task in self.tasks.values() if task.name}
        # children whose parent wasn't heard of, by the parent's id; bounded, as some never are
        self._tasks_to_resolve: Any = LRUCache(max_tasks_in_memory)
        self._taskheap: list[Any] = []
        for task in list(self.tasks.values()):
            task.cluster_state = self
            self._relate(task)
        self.rebuild_taskheap()

    def event(self, event: dict[str, Any]) -> Told:
        """Take note of an event, and return ``((worker or task, is_new), type)``."""
        with self._mutex:
            return self._event(event)

    def _event(self, event: dict[str, Any]) -> Told:
        self.event_count += 1
        if self.event_callback:
            self.event_callback(self, event)
        group, _, subject = event["type"].partition("-")
        if group in self.handlers:
            return self.handlers[group](subject, event), subject
        if group == "worker":
            return self._worker_event(subject, event)
        if group == "task":
            return self._task_event(subject, event)
        return None

    def _worker_event(self, subject: str, event: dict[str, Any]) -> Told:
        try:
            hostname, timestamp, received = event["hostname"], event["timestamp"], event["local_received"]
        except KeyError:
            return None
        is_offline = subject == "offline"
        if is_offline and hostname not in self.workers:
            worker, created = self.Worker(hostname), False
        else:
            worker, created = self.get_or_create_worker(hostname)
        worker.event(subject, timestamp, received, event)
        if self.on_node_join and (created or subject == "online"):
            self.on_node_join(worker)
        if self.on_node_leave and is_offline:
            self.on_node_leave(worker)
            self.workers.pop(hostname, None)
        return (worker, created), subject

    def _task_event(self, subject: str, event: dict[str, Any]) -> Told:
        task_id, hostname, clock = event["uuid"], event["hostname"], event["clock"]
        timestamp, received = event["timestamp"], event["local_received"]
        task, created = self.get_or_create_task(task_id)
        if subject == "sent":
            task.client = hostname
        else:
            task.worker, _ = self.get_or_create_worker(hostname)
            task.worker.event(None, timestamp, received)
            self.task_count += subject == "received"
        self._remember(timetuple(clock, timestamp, task.origin, ref(task)))
        task.event(subject, timestamp, received, event)
        if task.name is not None:
            self._seen_types.add(task.name)
            self.tasks_by_type[task.name].add(task)
        self.tasks_by_worker[hostname].add(task)
        self._relate(task)
        return (task, created), subject

    def _relate(self, task: KnownTask) -> None:
        """Make it known to its parent, and its children to it, whichever is heard of first."""
        if task.parent_id in self.tasks:
            self.tasks[task.parent_id].children.add(task)
        elif task.parent_id:
            self._tasks_to_resolve.setdefault(task.parent_id, WeakSet()).add(task)
        task.children.update(self._tasks_to_resolve.pop(task.uuid, ()))

    def _remember(self, entry: Any) -> None:
        heap = self._taskheap
        if len(heap) >= self.heap_multiplier * self.max_tasks_in_memory:
            del heap[0]
        insort(heap, entry)

    def rebuild_taskheap(self) -> None:
        """Find the order of tasks anew, from the tasks themselves."""
        heap = [
            timetuple(task.clock, task.timestamp or 0, task.origin or "", ref(task)) for task in self.tasks.values()
        ]
        self._taskheap[:] = sorted(heap)

    def get_or_create_worker(self, hostname: str, **kwargs: Any) -> tuple[KnownWorker, bool]:
        """The worker of a name, with these attributes, and whether it is new."""
        try:
            worker: KnownWorker = self.workers[hostname]
        except KeyError:
            worker = self.workers[hostname] = self.Worker(hostname, **kwargs)
            return worker, True
        worker.update(kwargs)
        return worker, False

    def get_or_create_task(self, uuid: str) -> tuple[KnownTask, bool]:
        """The task of an id, and whether it is new."""
        try:
            return self.tasks[uuid], False
        except KeyError:
            task = self.tasks[uuid] = self.Task(uuid, cluster_state=self)
            return task, True

    def task_event(self, type_: str, fields: dict[str, Any]) -> Any:
        """Deprecated: use :meth:`event`."""
        return self._event({**fields, "type": f"task-{type_}"})

    def worker_event(self, type_: str, fields: dict[str, Any]) -> Any:
        """Deprecated: use :meth:`event`."""
        return self._event({**fields, "type": f"worker-{type_}"})

    def freeze_while(self, fun: Callable[..., Any], *args: Any, clear_after: bool = False, **kwargs: Any) -> Any:
        """Call a function while events have to wait; with ``clear_after``, forget what is done, then."""
        with self._mutex:
            try:
                return fun(*args, **kwargs)
            finally:
                if clear_after:
                    self._clear()

    def clear_tasks(self, ready: bool = True) -> None:
        """Forget the tasks that are done, or all if ``ready`` is false."""
        with self._mutex:
            self._clear_tasks(ready)

    def clear(self, ready: bool = True) -> None:
        """Forget workers, counts, and tasks as :meth:`clear_tasks`."""
        with self._mutex:
            self._clear(ready)

    def _clear(self, ready: bool = True) -> None:
        self.workers.clear()
        self._clear_tasks(ready)
        self.event_count = self.task_count = 0

    def _clear_tasks(self, ready: bool = True) -> None:
        kept = {uuid: task for uuid, task in self.tasks.items() if ready and not task.ready}
        self.tasks.clear()
        self.tasks.update(kept)
        self.rebuild_taskheap()

    def itertasks(self, limit: int | None = None) -> Iterator[tuple[str, KnownTask]]:
        """Ids and tasks, the least recently used first."""
        return islice(self.tasks.items(), limit)

    def tasks_by_time(self, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, KnownTask]]:
        """Ids and tasks in the order of their events, the latest first unless ``reverse`` is false."""
        seen = set()
        entries = self._taskheap[::-1] if reverse else self._taskheap[:]
        for entry in islice(entries, limit):
            task = entry[3]()
            if task is not None and task.uuid not in seen:
                seen.add(task.uuid)
                yield task.uuid, task

    tasks_by_timestamp = tasks_by_time

    def _tasks_by_type(
        self, name: str, limit: int | None = None, reverse: bool = True
    ) -> Iterator[tuple[str, KnownTask]]:
        return islice((pair for pair in self.tasks_by_time(reverse=reverse) if pair[1].name == name), limit)

    def _tasks_by_worker(
        self, hostname: str, limit: int | None = None, reverse: bool = True
    ) -> Iterator[tuple[str, KnownTask]]:
        pairs = self.tasks_by_time(reverse=reverse)
        return islice((pair for pair in pairs if pair[1].worker and pair[1].worker.hostname == hostname), limit)

    def task_types(self) -> list[str]:
        """Names of tasks, sorted."""
        return sorted(self._seen_types)

    def alive_workers(self) -> Iterator[KnownWorker]:
        """The workers whose heartbeat isn't too old."""
        return (worker for worker in list(self.workers.values()) if worker.alive)

    def _sets(self, ids: Mapping[str, Iterable[str]] | None) -> dict[str, WeakSet[KnownTask]]:
        return {
            name: WeakSet(self.tasks[uuid] for uuid in uuids if uuid in self.tasks)
            for name, uuids in (ids or {}).items()
        }

    def __repr__(self) -> str:
        return f"<State: events={self.event_count} tasks={self.task_count}>"

    def __reduce__(self) -> tuple[Any, ...]:
        by_type, by_worker = (
            {name: [task.uuid for task in tasks] for name, tasks in sets.items()}
            for sets in (self.tasks_by_type, self.tasks_by_worker)
        )
        return self.__class__, (
            self.event_callback,
            dict(self.workers.items()),
            dict(self.tasks.items()),
            None,
            self.max_workers_in_memory,
            self.max_tasks_in_memory,
            self.on_node_join,
            self.on_node_leave,
            by_type,
            by_worker,
        )
