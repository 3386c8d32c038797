"""Workers that are killed and stopped: SCENARIOS 2, 3, 5 and 9."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack, closing

import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.chaos.core import pair, run_by
from tests.chaos.runs import runs_of
from tests.chaos.scene import FULL, Scene
from tests.eventually import eventually

MARGIN_SECONDS = 2.0


@pytest.mark.alone
@pytest.mark.promise("P3")
@pytest.mark.scenario(2)
def test_s02_the_job_of_a_killed_worker_starts_again_in_time(scene: Scene) -> None:
    workers = pair(scene)
    job = scene.enqueue("stuck")
    run_by(workers, scene.run_number(job, 1)).kill_all()
    killed = time.monotonic()
    again = scene.run_number(job, 2)
    assert again.start - killed <= scene.fleet.lease_seconds + MARGIN_SECONDS
    assert again.attempt == 2
    scene.has(acked=1, reclaimed=1)
    scene.judge()


@pytest.mark.promise("P1")
@pytest.mark.scenario(3)
def test_s03_no_job_is_lost_between_pop_and_start(scene: Scene) -> None:
    """A worker on three queues is killed again and again, at any step."""
    draw = random.Random(3)
    names = [f"{scene.queue.name}:{{{name}}}" for name in ("a", "b", "c")]
    with ExitStack() as stack:
        queues = [
            stack.enter_context(closing(RedisJobQueue(scene.client, prefix=name, visibility_timeout=1)))
            for name in names
        ]
        ids = {f"{number}-{name[-2]}" for name in names for number in range(200)}
        for queue in queues:
            for number in range(200):
                queue.enqueue("quick", job_id=f"{number}-{queue.name[-2]}", max_attempts=100)
        for _ in range(20 if FULL else 4):
            worker = scene.worker("-Q", "a,b,c", "-c", "2")
            eventually(lambda: scene.events)
            time.sleep(draw.uniform(0, 0.3))
            worker.kill_all()
        scene.worker("-Q", "a,b,c")
        eventually(lambda: sum(queue.stats().totals["acked"] for queue in queues) == len(ids), 60)
        done = {job for job, runs in runs_of(scene.events).items() if runs[-1].outcome == "ok"}
        assert done == ids
        for queue in queues:
            check_drained(scene.client, queue.name)


@pytest.mark.alone
@pytest.mark.promise("P2")
@pytest.mark.promise("P4")
@pytest.mark.scenario(5)
@pytest.mark.parametrize("whom", ["the group", "the process of the job"])
def test_s05_a_stopped_workers_outcome_doesnt_count(scene: Scene, whom: str) -> None:
    workers = pair(scene)
    job = scene.enqueue("stopped")
    run = scene.run_number(job, 1)
    first = run_by(workers, run)
    first.has_stopped(run.pid)
    pids = first.members if whom == "the group" else [run.pid]
    for pid in set(pids) - {run.pid}:
        first.signal_one(pid, signal.SIGSTOP)
    again = scene.run_number(job, 2)
    late = again.start - run.start - scene.fleet.lease_seconds
    assert late <= MARGIN_SECONDS, "nobody extends for a stopped process"
    scene.has(acked=1)
    if whom == "the process of the job":
        with first.wakes(run.pid):
            scene.has(acked=1, stale=1)
    first.signal_all(signal.SIGCONT)
    scene.fleet.history.write("excuse", since=run.start, pids=pids)
    time.sleep(1)  # a keeper that was stopped too may tell its child before that settles, which then doesn't
    assert (scene.total("acked"), scene.total("retried")) == (1, 0)
    assert scene.total("stale") <= 1
    assert again.pid not in pids
    assert len(scene.runs(job)) == 2
    scene.judge()


@pytest.mark.promise("P2")
@pytest.mark.scenario(5)
def test_s05_a_stopped_workers_outcome_doesnt_count_while_the_job_runs_elsewhere(scene: Scene) -> None:
    workers = pair(scene)
    job = scene.enqueue("stopped_nap")  # over when it wakes up, so that it settles before it is told
    run = scene.run_number(job, 1)
    first = run_by(workers, run)
    first.has_stopped(run.pid)
    again = scene.run_number(job, 2)
    with first.wakes(run.pid):
        scene.fleet.history.write("excuse", since=run.start, pids=[run.pid])
        scene.has(stale=1, acked=0)
    assert scene.runs(job)[1].end is None, "the second run goes on"
    scene.let_go()
    scene.has(acked=1, stale=1)
    assert again.attempt == 2
    scene.judge()


@pytest.mark.promise("P9")
@pytest.mark.scenario(9)
def test_s09_poison_is_started_three_times_and_dead_lettered(scene: Scene) -> None:
    poison = scene.enqueue("poison", {"why": "test"}, max_attempts=3)
    worker = scene.worker("-c", "1")

    def dead() -> bool:
        nonlocal worker
        if not worker.alive:
            worker = scene.worker("-c", "1")
        return scene.queue.stats().dead == 1

    others = [scene.enqueue("quick") for _ in range(20)]
    eventually(dead, 40)
    scene.has(acked=20)
    assert [run.attempt for run in scene.runs(poison)] == [1, 2, 3]
    assert [len(scene.runs(other)) for other in others] == [1] * 20
    (job,) = scene.queue.dead()
    assert (job.id, job.reason, job.payload, job.attempts) == (poison, "worker_lost", {"why": "test"}, 3)
    assert {entry["attempt"] for entry in job.history} == {1, 2, 3}
    scene.judge({poison: "worker_lost"})


@pytest.mark.promise("P9")
@pytest.mark.scenario(9)
def test_s09_poison_beside_others_costs_them_nothing(scene: Scene) -> None:
    """All that ran beside it are suspects: uncharged once, then each alone, so that the next death names the poison."""
    poisons = [scene.enqueue("poison", max_attempts=2) for _ in range(2)]
    others = [scene.enqueue("nap", {"seconds": 0.3}, max_attempts=1) for _ in range(6)]
    scene.worker("-c", "4")
    scene.has(acked=6, dead=2, in_flight=0, ready=0, timeout=60)
    assert {run.attempt for other in others for run in scene.runs(other)} == {1}
    for poison in poisons:
        attempts = [run.attempt for run in scene.runs(poison)]
        assert sorted(set(attempts)) == [1, 2]
        assert len(attempts) <= 2 + 2, "uncharged once, and once more beside the other poison"
    scene.judge(dict.fromkeys(poisons, "worker_lost"))
