"""Jobs that take long, and jobs that wait: SCENARIOS 4, 6, 7, 8 and 27."""

from __future__ import annotations

import time

import psutil
import pytest

from svcjobs.job import NewJob
from svcjobs.retry import RetryPolicy
from tests.chaos.conftest import MakeScene
from tests.chaos.fleet import Process
from tests.chaos.runs import runs_of
from tests.chaos.scene import FULL, Scene
from tests.eventually import eventually
from tests.servers import RedisServer

LATE_SECONDS = 1.0


@pytest.mark.promise("P4")
@pytest.mark.scenario(4)
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("handler", "leases"),
    [("slow", 2.5), ("nap", 2.5), ("cpu", 2.5), ("frozen", 1.8)],
    ids=["async", "thread", "holds the GIL", "holds the GIL asleep"],
)
def test_s04_a_long_job_runs_once_while_it_lives(
    redis_server: RedisServer, make_scene: MakeScene, handler: str, leases: float
) -> None:
    scene = make_scene(redis_server, 5.0 if FULL else 3.0)
    job = scene.enqueue(
        handler, {"seconds": 60 if FULL and handler != "frozen" else leases * scene.fleet.lease_seconds}
    )
    for _ in range(2):
        scene.worker()
    scene.has(acked=1, timeout=90)
    assert len(scene.runs(job)) == 1
    assert (scene.total("reclaimed"), scene.total("stale")) == (0, 0)
    scene.judge()


@pytest.mark.alone
@pytest.mark.promise("P5")
@pytest.mark.scenario(6)
@pytest.mark.timeout(200)
def test_s06_an_eta_beyond_the_lease_runs_once_and_in_time(redis_server: RedisServer, make_scene: MakeScene) -> None:
    scene = make_scene(redis_server, 5.0 if FULL else 1.0)
    countdown = 60 if FULL else 6
    workers = [scene.worker() for _ in range(10 if FULL else 2)]
    began = time.monotonic()
    job = scene.enqueue("delayed", delay_seconds=countdown)
    while time.monotonic() < began + countdown - 3:
        stopped = workers.pop(0)
        workers.append(scene.worker())
        assert stopped.stop() == 0
    scene.run_number(job, 1, countdown + 20)
    assert 0 <= scene.late_seconds(job, countdown) < LATE_SECONDS
    time.sleep(scene.fleet.lease_seconds)
    assert len(scene.runs(job)) == 1
    scene.judge()


def memory(worker: Process) -> float:
    """Resident MB of all its processes together."""
    return sum(psutil.Process(pid).memory_info().rss for pid in worker.members) / 2**20


@pytest.mark.promise("P5")
@pytest.mark.scenario(7)
@pytest.mark.timeout(900)
def test_s07_delayed_jobs_take_no_memory_of_the_worker(own_server: RedisServer, make_scene: MakeScene) -> None:
    scene = make_scene(own_server, 5.0)
    worker = scene.worker()
    for _ in range(20):
        scene.enqueue("quick")
    scene.has(acked=20)
    before = memory(worker)
    left = 1_000_000 if FULL else 20_000
    own_server.client().config_set("appendfsync", "no")  # filling up isn't what is looked at
    while left:
        count = min(left, 5_000)
        scene.queue.enqueue_many([NewJob("delayed", delay_seconds=86_400)] * count)
        left -= count
    for _ in range(20):
        scene.enqueue("quick")
    scene.has(acked=40)
    time.sleep(30 if FULL else 2)
    assert memory(worker) - before < 20


@pytest.mark.promise("P1")
@pytest.mark.promise("P5")
@pytest.mark.scenario(8)
@pytest.mark.timeout(200)
def test_s08_a_rolling_deploy_loses_neither_delayed_nor_running_jobs(
    redis_server: RedisServer, make_scene: MakeScene
) -> None:
    scene = make_scene(redis_server, 5.0)
    delayed, running, workers = (1_000, 50, 5) if FULL else (100, 10, 3)
    old = [scene.worker("-c", "10", "--grace", "0.5") for _ in range(workers)]
    long = [scene.enqueue("slow", {"seconds": 12}) for _ in range(running)]
    waiting = [scene.enqueue("delayed", delay_seconds=8) for _ in range(delayed)]
    eventually(lambda: sum(run_of_job in runs_of(scene.events) for run_of_job in long) == running, 20)
    for worker in old:
        scene.worker("-c", "10")
        assert worker.stop() == 0
        assert not worker.members
    scene.has(timeout=60, ready=0, delayed=0, in_flight=0, acked=delayed + running, reclaimed=0, stale=0)
    runs = runs_of(scene.events)
    assert [len(runs[job]) for job in waiting] == [1] * delayed
    assert {run.attempt for job in long for run in runs[job]} == {1}, "given back, with no attempt charged"
    scene.judge()


@pytest.mark.alone
@pytest.mark.promise("P5")
@pytest.mark.scenario(27)
def test_s27_a_retry_later_than_the_lease_runs_once(redis_server: RedisServer, make_scene: MakeScene) -> None:
    scene = make_scene(redis_server, 1.0)
    workers = [scene.worker() for _ in range(2)]
    job = scene.enqueue("flaky", {"failures": 1}, backoff_seconds=4)
    scene.has(acked=1, retried=1)
    assert 4 <= scene.retry_seconds(job) < 4 + LATE_SECONDS
    assert all(worker.alive for worker in workers)
    scene.judge()


@pytest.mark.alone
@pytest.mark.scenario(27)
def test_s27_retries_keep_to_their_jitter_their_server_and_their_end(scene: Scene) -> None:
    scene.worker()
    jittery = scene.enqueue("flaky", {"failures": 1}, backoff_seconds=1, retry=RetryPolicy("fixed", jitter=0.5))
    asked = scene.enqueue("retry_after", {"seconds": 1.5}, backoff_seconds=30)
    ended = scene.enqueue(
        "failing", max_attempts=50, backoff_seconds=0.5, retry=RetryPolicy("fixed", max_elapsed_seconds=2)
    )
    scene.has(acked=2, dead=1)
    assert 0.5 <= scene.retry_seconds(jittery) < 1.5 + LATE_SECONDS
    assert 1.5 <= scene.retry_seconds(asked) < 1.5 + LATE_SECONDS
    runs = scene.runs(ended)
    assert 2 <= len(runs) <= 5
    assert runs[-1].start - runs[0].start <= 2 + LATE_SECONDS
    scene.judge({ended: "exhausted"})
