"""The core scenarios of Delivery in short, for servers of any kind: SCENARIOS 2, 4, 5 and 6."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.chaos.fleet import Process
from tests.chaos.scene import Scene

LEASE_SECONDS = 1.5
MARGIN_SECONDS = 2.0
LATE_SECONDS = 1.0


def killed(scene: Scene) -> None:
    """The job of a killed worker starts again in time."""
    workers = pair(scene)
    job = scene.enqueue("slow", {"seconds": 1})
    run = scene.run_number(job, 1)
    next(worker for worker in workers if run.pid in worker.children).kill_all()
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
    pair(scene)
    job = scene.enqueue("nap", {"seconds": 1})
    pid, since = scene.run_number(job, 1).pid, time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    again = scene.run_number(job, 2)
    os.kill(pid, signal.SIGCONT)
    scene.fleet.history.write("excuse", since=since, pids=[pid])
    scene.has(acked=1, stale=1)
    assert (again.attempt, len(scene.runs(job))) == (2, 2)
    assert again.pid != pid
    scene.judge()


def delayed(scene: Scene) -> None:
    """A job delayed for longer than the lease runs once and in time, while workers come and go."""
    workers = pair(scene)
    countdown = 1.4 * scene.fleet.lease_seconds
    began = time.monotonic()
    job = scene.enqueue("delayed", delay_seconds=countdown)
    assert workers[0].stop() == 0
    run = scene.run_number(job, 1)
    assert 0 <= run.start - began - countdown + 0.02 < LATE_SECONDS
    time.sleep(scene.fleet.lease_seconds)
    assert len(scene.runs(job)) == 1
    scene.judge()


def pair(scene: Scene) -> list[Process]:
    """Two workers, started side by side."""
    workers = [scene.fleet.worker("--no-beat") for _ in range(2)]
    return [worker.is_ready() for worker in workers]


CORE = [
    pytest.param(killed, marks=pytest.mark.scenario(2), id="s02 killed"),
    pytest.param(long, marks=pytest.mark.scenario(4), id="s04 long"),
    pytest.param(stale, marks=pytest.mark.scenario(5), id="s05 stale"),
    pytest.param(delayed, marks=pytest.mark.scenario(6), id="s06 delayed"),
]
