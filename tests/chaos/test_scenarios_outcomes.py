"""How jobs end that can't be done, or not yet: SCENARIOS 10, 11 and 26."""

from __future__ import annotations

import pytest

from svcjobs.errors import JobNotFound
from svcjobs.redis_queue import RedisJobQueue
from tests.chaos.scene import Scene
from tests.eventually import eventually


@pytest.mark.promise("P9")
@pytest.mark.scenario(10)
def test_s10_what_cant_be_done_is_dead_lettered_with_all_that_is_known(scene: Scene) -> None:
    payload = {"order": 17}
    options = {"max_attempts": 2, "backoff_seconds": 0.1}
    failing = scene.enqueue("failing", payload, **options)
    unknown = scene.enqueue("nobody knows", payload, **options)
    poison = scene.enqueue("poison", payload, max_attempts=1)
    undecodable = scene.enqueue("quick", payload)
    scene.client.hset(f"{scene.queue.name}:job:{undecodable}", "payload", b"\xff{ no JSON")
    worker = scene.worker("-c", "1")

    def all_dead() -> bool:
        nonlocal worker
        if not worker.alive:  # killed by poison, without a supervisor
            worker = scene.worker("-c", "1")
        stats = scene.queue.stats()
        return (stats.dead, stats.in_flight) == (4, 0)

    eventually(all_dead, 60)
    dead = {job.id: job for job in scene.queue.dead()}
    assert {job.id: job.reason for job in dead.values()} == {
        failing: "exhausted", unknown: "unknown_job", poison: "worker_lost", undecodable: "corrupt",
    }  # fmt: skip
    assert [dead[job].payload for job in (failing, unknown, poison)] == [payload] * 3
    assert scene.client.hget(f"{scene.queue.name}:job:{undecodable}", "payload") == b"\xff{ no JSON"
    assert "RuntimeError: never" in str(dead[failing].traceback)
    assert "in failing" in str(dead[failing].traceback)
    assert [entry["attempt"] for entry in dead[failing].history] == [1, 2]
    assert all("never" in entry["error"] for entry in dead[failing].history)
    assert all(job.dead_at for job in dead.values())


@pytest.mark.scenario(10)
def test_s10_a_requeue_keeps_the_id_resets_the_attempts_and_can_be_repeated(scene: Scene) -> None:
    worker = scene.worker()
    job = scene.enqueue("flaky", {"failures": 1}, max_attempts=1)
    scene.has(dead=1)
    worker.stop()
    for _ in range(2):
        again = scene.queue.requeue(job)
        assert (again.id, again.attempts, again.payload) == (job, 0, {"failures": 1})
    scene.has(dead=0, ready=1, requeued=1)
    scene.worker()
    scene.has(dead=1, ready=0)
    assert [run.attempt for run in scene.runs(job)] == [1, 1]
    with pytest.raises(JobNotFound):
        scene.queue.requeue("never was")


@pytest.mark.promise("P9")
@pytest.mark.scenario(11)
def test_s11_a_job_that_only_the_next_release_knows_waits_for_it(scene: Scene) -> None:
    old = scene.worker(app="tests.chaos.old_app:registry")
    new = scene.enqueue("slow", max_attempts=50, backoff_seconds=0.2)
    known = scene.enqueue("quick")
    scene.run_number(known, 1)
    scene.has(acked=1, dead=0)
    assert scene.runs(new) == []
    scene.worker()
    scene.has(acked=2, dead=0, timeout=60)  # it is looked at less often each time
    assert old.alive
    assert len(scene.runs(new)) == 1


@pytest.mark.promise("P9")
@pytest.mark.scenario(26)
@pytest.mark.parametrize("max_attempts", [1, 3], ids=["without retry", "with retry"])
def test_s26_an_exception_that_cant_be_written_down_fails_its_job_alone(scene: Scene, max_attempts: int) -> None:
    worker = scene.worker()
    before = worker.members
    job_id = scene.enqueue("unspeakable", max_attempts=max_attempts, backoff_seconds=0.1)
    scene.has(dead=1)
    other = scene.enqueue("quick")
    scene.has(acked=1)
    assert worker.members == before
    (job,) = scene.queue.dead()
    assert (job.id, job.reason, job.attempts) == (job_id, "exhausted", max_attempts)
    assert "Unspeakable" in str(job.traceback)
    assert "Unspeakable" in str(job.last_error)
    assert len(scene.runs(other)) == 1
    scene.judge({job_id: "exhausted"})


def test_a_scene_finds_what_is_wrong(scene: Scene) -> None:
    """The judge isn't blind: a job that vanishes is missed."""
    job = scene.enqueue("quick")
    RedisJobQueue(scene.client, prefix=scene.queue.name).purge()
    with pytest.raises(AssertionError, match=f"job {job} was acknowledged"):
        scene.judge()
