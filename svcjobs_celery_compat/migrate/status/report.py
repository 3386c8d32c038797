"""What ``svcjobs migrate status`` says, put together from routes, runs, queues and the workers' answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from svcjobs_celery_compat.migrate.fleet import WorkerInfo
from svcjobs_celery_compat.migrate.routing.route import Route, Side, is_beside
from svcjobs_celery_compat.migrate.routing.table import RouteTable
from svcjobs_celery_compat.migrate.status.runs import TaskRuns

_INTERNAL = ("celery.", "svcjobs.")


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How much lies in a queue.

    Args:
        queue: its name.
        waiting: tasks that are due, or wait for their time.
        running: tasks that workers hold.
        dead: its dead letters.
        dead_by_task: the newest of these, by the names of their tasks.
    """

    queue: str
    waiting: int
    running: int
    dead: int
    dead_by_task: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task.

    Args:
        task: its name.
        to: the side that it is routed to; None for whoever takes it.
        percent: of it that is routed.
        queue: where its last run was sent to; None when none is known.
        waiting: how much waits in that queue, and in those of one side beside it.
        dead: dead letters of this task.
        last: the side on which it ran last.
        runs: by side.
        known_by: the sides with a worker that knows it.
    """

    task: str
    to: Side | None
    percent: float
    queue: str | None
    waiting: int | None
    dead: int
    last: Side | None
    runs: Mapping[Side, TaskRuns]
    known_by: Sequence[Side]


@dataclass(frozen=True, slots=True)
class Report:
    """All of it.

    Args:
        routes: the routing table.
        runs: by task and side.
        workers: those that answered.
        depths: of the queues that are known.
    """

    routes: RouteTable
    runs: Mapping[str, Mapping[Side, TaskRuns]]
    workers: Sequence[WorkerInfo]
    depths: Mapping[str, QueueDepth]

    def tasks(self) -> list[TaskStatus]:
        """All tasks that ran, or that a live worker knows."""
        names = {*self.runs, *(task for worker in self.workers for task in worker.tasks)}
        return [self._task(name) for name in sorted(names) if not name.startswith(_INTERNAL)]

    def warnings(self) -> list[str]:
        """What is wrong, or about to be."""
        return [*self._one_sided(), *self._unattended()]

    def _task(self, name: str) -> TaskStatus:
        route, runs = self.routes.route_of(name), self.runs.get(name, {})
        last = max(runs, key=lambda side: _ended(runs[side]), default=None)
        queue = (runs[last].queue if last else None) or None
        near = [self.depths[each] for each in _beside(queue) if each in self.depths] if queue else []
        return TaskStatus(
            task=name,
            to=route.to if route else None,
            percent=route.percent if route else 0,
            queue=queue,
            waiting=sum(depth.waiting for depth in near) if queue else None,
            dead=sum(depth.dead_by_task.get(name, 0) for depth in self.depths.values()),
            last=last,
            runs=runs,
            known_by=self._knowing(name),
        )

    def _sides(self) -> list[Side]:
        return [side for side in Side if any(worker.side is side for worker in self.workers)]

    def _knowing(self, task: str) -> list[Side]:
        return [side for side in Side if any(task in worker.tasks for worker in self.workers if worker.side is side)]

    def _one_sided(self) -> Iterable[str]:
        for status in self.tasks():
            for side in set(self._sides()) - set(status.known_by):
                if not status.known_by or _keeps_away(self.routes.route_of(status.task), side):
                    continue
                knows = status.known_by[0]
                yield (
                    f"{status.task} is known to {knows} workers only: {_LACKING[side]}; send it there with"
                    f" `svcjobs migrate route {status.task} --to {knows}`"
                )

    def _unattended(self) -> Iterable[str]:
        for depth in self.depths.values():
            takers = {worker.side for worker in self.workers if depth.queue in worker.queues}
            if depth.waiting and not takers:
                yield f"{depth.queue}: {depth.waiting} tasks wait, and no worker that answers takes them"
        for route in self.routes:
            taken = [queue for worker in self.workers if worker.side is route.to for queue in worker.queues]
            if route.percent and not any(queue.endswith(f".{route.to}") for queue in taken):
                yield f"{route.pattern} goes to {route.to}, and no {route.to} worker takes a queue of that side"


_LACKING = {
    Side.SVCJOBS: "a svcjobs worker that is given it puts it back, again and again",
    Side.CELERY: "a Celery worker that is given it rejects it, and it becomes a dead letter",
}


def queues_of(workers: Sequence[WorkerInfo], runs: Mapping[str, Mapping[Side, TaskRuns]]) -> list[str]:
    """The queues that tasks were sent to or that workers take, and those of one side beside them."""
    found = {queue for worker in workers for queue in worker.queues}
    found |= {run.queue for sides in runs.values() for run in sides.values() if run.queue}
    return sorted({each for queue in found for each in _beside(queue)})


def _beside(queue: str) -> list[str]:
    return [queue] if is_beside(queue) else [queue, *(side.queue_beside(queue) for side in Side)]


def _keeps_away(route: Route | None, side: Side) -> bool:
    return route is not None and route.to is not side and route.percent == 100


def _ended(run: TaskRuns) -> float:
    return run.last_at.timestamp() if run.last_at else 0.0
