"""What ``svcjobs migrate status`` makes of routes, runs, queues and workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from svcjobs_celery_compat.migrate.fleet import WorkerInfo
from svcjobs_celery_compat.migrate.routing.route import Route, Side
from svcjobs_celery_compat.migrate.routing.table import RouteTable
from svcjobs_celery_compat.migrate.status.report import QueueDepth, Report, queues_of
from svcjobs_celery_compat.migrate.status.runs import Runs, TaskRuns

CELERY, OURS = Side.CELERY, Side.SVCJOBS
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def worker(side: Side, *tasks: str, queues: tuple[str, ...] = ("q",)) -> WorkerInfo:
    return WorkerInfo(f"{side}@host", side, queues, frozenset(tasks))


def report(
    *workers: WorkerInfo,
    routes: tuple[Route, ...] = (),
    runs: dict[str, dict[Side, TaskRuns]] | None = None,
    depths: tuple[QueueDepth, ...] = (),
) -> Report:
    return Report(RouteTable(routes), runs or {}, workers, {depth.queue: depth for depth in depths})


def test_runs_add_up_by_task_and_side(redis_client: redis.Redis, prefix: str) -> None:
    runs = Runs(redis_client, prefix)
    runs.add(CELERY, {("a:b", "done"): 2, ("a:b", "failed"): 1, ("a:b", "other"): 1}, {"a:b": ("w1", "q")})
    runs.add(CELERY, {("a:b", "done"): 1, ("a:b", "retried"): 3}, {"a:b": ("w2", "q")})
    runs.add(OURS, {("a:b", "done"): 1}, {"a:b": (None, None)})
    read = runs.read()["a:b"]
    theirs, ours = read[CELERY], read[OURS]
    assert (theirs.done, theirs.failed, theirs.retried, theirs.worker, theirs.queue) == (3, 1, 3, "w2", "q")
    assert theirs.failed_at is not None
    assert theirs.last_at is not None
    assert theirs.failed_at < theirs.last_at
    assert (ours.done, ours.failed, ours.failed_at) == (1, 0, None)


def test_a_task_has_its_route_its_queue_and_where_it_ran_last() -> None:
    ran = {
        "a": {CELERY: TaskRuns(done=9, last_at=NOW, queue="q"), OURS: TaskRuns(last_at=NOW + timedelta(1), queue="q")}
    }
    depths = (
        QueueDepth("q", 2, 0, 1, {"a": 1}),
        QueueDepth("q.svcjobs", 3, 0, 0),
        QueueDepth("other", 9, 0, 9, {"b": 9}),
    )
    told = report(worker(CELERY, "a"), routes=(Route("a*", OURS, 10),), runs=ran, depths=depths)
    (task,) = told.tasks()
    assert (task.to, task.percent, task.last, task.queue, task.waiting, task.dead) == (OURS, 10, OURS, "q", 5, 1)


def test_internal_tasks_are_left_out() -> None:
    assert report(worker(OURS, "celery.chord", "svcjobs.unfold")).tasks() == []


def test_the_queues_are_those_of_workers_and_runs_and_those_beside_them() -> None:
    runs = {"a": {CELERY: TaskRuns(queue="ran")}}
    found = queues_of([worker(OURS, queues=("taken.svcjobs",))], runs)
    assert found == ["ran", "ran.celery", "ran.svcjobs", "taken.svcjobs"]


@pytest.mark.parametrize(("knows", "lacks"), [(OURS, "a Celery worker"), (CELERY, "a svcjobs worker")])
def test_a_task_that_one_side_knows_is_warned_of_until_it_is_routed_there(knows: Side, lacks: str) -> None:
    both = [worker(side, *(("shared", "a") if side is knows else ("shared",))) for side in Side]
    (warning,) = report(*both).warnings()
    assert warning.startswith(f"a is known to {knows} workers only: {lacks}")
    side_queue = WorkerInfo("w", knows, (f"q.{knows}",), frozenset())
    assert report(*both, side_queue, routes=(Route("a", knows),)).warnings() == []
    assert len(report(*both, side_queue, routes=(Route("a", knows, 50),)).warnings()) == 1


def test_with_one_kind_of_worker_no_task_is_one_sided() -> None:
    assert report(worker(OURS, "a")).warnings() == []


def test_a_side_without_workers_and_a_queue_that_nobody_takes_are_warned_of() -> None:
    depths = (QueueDepth("q.svcjobs", 3, 0, 0), QueueDepth("q", 1, 0, 0), QueueDepth("q.celery", 0, 0, 0))
    told = report(worker(CELERY, "a"), routes=(Route("a", OURS), Route("b", CELERY, 0)), depths=depths).warnings()
    assert told == [
        "q.svcjobs: 3 tasks wait, and no worker that answers takes them",
        "a goes to svcjobs, and no svcjobs worker takes a queue of that side",
    ]
