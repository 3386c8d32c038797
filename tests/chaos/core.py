"""The core scenarios of Delivery in short, for servers of any kind: SCENARIOS 2, 4, 5 and 6."""

from __future__ import annotations

import time

import pytest

from tests.chaos.fleet import Process
from tests.chaos.runs import Run
from tests.chaos.scene import Scene

LEASE_SECONDS = 2.5
MARGIN_SECONDS = 2.0
LATE_SECONDS = 1.0


def killed(scene: Scene) -> None:
    """The job of a killed worker starts again in time."""
    workers = pair(scene)
    job = scene.enqueue("stuck")
    run_by(workers, scene.run_number(job, 1)).kill_all()
    killed_at = time.monotonic()
    again = scene.run_number(job, 2)
    assert again.start - killed_at <= scene.fleet.lease_seconds + MARGIN_SECONDS
    assert again.attempt == 2
    scene.has(acked=1, reclaimed=1)
    scene.judge()


def long(scene: Scene) -> None:
    """A job that outlasts its lease runs once, while its worker lives."""
    pair(scene)
    job = scene.enqueue("nap", {"seconds": 2 * scene.fleet.lease_seconds})
    scene.has(acked=1)
    assert len(scene.runs(job)) == 1
    assert (scene.total("reclaimed"), scene.total("stale")) == (0, 0)
    scene.judge()


def stale(scene: Scene) -> None:
    """What a stopped process settles when it wakes up is refused."""
    workers = pair(scene)
    job = scene.enqueue("stopped_nap")
    run = scene.run_number(job, 1)
    stopped = run_by(workers, run)
    stopped.has_stopped(run.pid)
    again = scene.run_number(job, 2)
    with stopped.wakes(run.pid):
        scene.fleet.history.write("excuse", since=run.start, pids=[run.pid])
        scene.has(stale=1, acked=0)
    scene.let_go()
    scene.has(acked=1, stale=1)
    assert (again.attempt, len(scene.runs(job))) == (2, 2)
    assert again.pid != run.pid
    scene.judge()


def delayed(scene: Scene) -> None:
    """A job delayed for longer than the lease runs once and in time, while workers come and go."""
    workers = pair(scene)
    countdown = 1.4 * scene.fleet.lease_seconds
    job = scene.enqueue("delayed", delay_seconds=countdown)
    assert workers[0].stop() == 0
    scene.run_number(job, 1)
    assert 0 <= scene.late_seconds(job, countdown) < LATE_SECONDS
    time.sleep(scene.fleet.lease_seconds)
    assert len(scene.runs(job)) == 1
    scene.judge()


def pair(scene: Scene) -> list[Process]:
    """Two workers, started side by side."""
    workers = [scene.fleet.worker("--no-beat") for _ in range(2)]
    return [worker.is_ready() for worker in workers]


def run_by(workers: list[Process], run: Run) -> Process:
    """The worker in one of whose processes a run is."""
    return next(worker for worker in workers if run.pid in worker.members)


CORE = [
    pytest.param(killed, marks=[pytest.mark.scenario(2), pytest.mark.alone], id="s02 killed"),
    pytest.param(long, marks=pytest.mark.scenario(4), id="s04 long"),
    pytest.param(stale, marks=pytest.mark.scenario(5), id="s05 stale"),
    pytest.param(delayed, marks=[pytest.mark.scenario(6), pytest.mark.alone], id="s06 delayed"),
]
