"""Each key of the data model holds what it can't hold, under each script: refused before the first write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from svcjobs.errors import CorruptKey, JobsError
from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import take_census
from tests.integration.redis.stage import NONCE, SCRIPTS, VERBS, Stage, set_stage

TYPES = {
    "ready": "list", "ready:5": "list", "ready:7": "list", "priorities": "set", "processing": "list",
    "processing_vt": "zset", "delayed": "zset", "seq": "string", "leases": "string", "dlq": "list", "wake": "list",
    "counters": "hash", "paused": "string", "ticks": "hash", "effects": "list", "effects:refused": "list",
    f"req:{NONCE}": "string",
    "unique:held": "string", "unique:lost": "string", "unique:dead": "string", "unique:new": "string",
    "leader": "string", "workers": "zset", "tally": "string", "tallies": "hash",
}  # fmt: skip
OVERWRITTEN = {"unique:dead", "unique:held", "unique:lost"}
"""A key that holds no id is nobody's: a settlement may leave it, and a job that waits again may take it."""
NUMBERS = ("abc", "", "1.5", "-3", "007", " 5", "9223372036854775807", "99999999999999999999", "nan")
JOBS = ("held", "lost", "due", "later", "first", "fifth", "dead")


@pytest.fixture
def stage(redis_client: redis.Redis, prefix: str, new_queue: Callable[..., RedisJobQueue]) -> Stage:
    return set_stage(redis_client, prefix, new_queue)


def test_every_script_is_covered() -> None:
    assert sorted(VERBS) == SCRIPTS


def spoil(stage: Stage, name: str, kind: str) -> None:
    key = f"{stage.prefix}:{name}"
    stage.client.delete(key)
    if kind == "string":
        stage.client.rpush(key, "spoilt")
    else:
        stage.client.set(key, "spoilt")


def changed_keys(stage: Stage, script: str) -> set[str]:
    """What the script writes in a queue where nothing is wrong."""
    before = stage.dump()
    stage.run(VERBS[script](stage))
    after = stage.dump()
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_key_of_a_wrong_type_is_refused_and_nothing_changes(
    script: str, redis_client: redis.Redis, prefix: str, new_queue: Callable[..., RedisJobQueue]
) -> None:
    written = changed_keys(set_stage(redis_client, prefix, new_queue), script)
    for number, (name, kind) in enumerate(TYPES.items()):
        stage = set_stage(redis_client, f"{prefix}n{number}", new_queue)
        spoil(stage, name, kind)
        before = stage.dump()
        try:
            stage.run(VERBS[script](stage))
        except CorruptKey as error:
            refused = str(error)
            assert stage.dump() == before, f"{script} wrote although {name} is spoilt"
            assert f"{stage.prefix}:{name}" in refused or "WRONGTYPE" in refused
        else:
            assert name not in written or name in OVERWRITTEN, f"{script} writes {name} and didn't notice it is spoilt"
            if name not in OVERWRITTEN:
                assert stage.dump()[name] == before[name], f"{script} changed the spoilt {name}"


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(("name", "script"), [("seq", "enqueue"), ("seq", "claim_tick"), ("seq", "ack"),
                                              ("seq", "fail"), ("seq", "bury"), ("seq", "relay"),
                                              ("leases", "reserve")])  # fmt: skip
def test_a_counter_that_is_no_number_is_refused_and_nothing_changes(
    stage: Stage, name: str, script: str, value: str
) -> None:
    stage.client.set(f"{stage.prefix}:{name}", value)
    before = stage.dump()
    with pytest.raises(CorruptKey, match=name):
        stage.run(VERBS[script](stage))
    assert stage.dump() == before


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name not in ("seq", "leases")])
@pytest.mark.parametrize("name", ["seq", "leases"])
def test_no_script_half_writes_when_a_counter_is_no_number(stage: Stage, name: str, script: str) -> None:
    stage.client.set(f"{stage.prefix}:{name}", "99999999999999999999")
    before = stage.dump()
    try:
        stage.run(VERBS[script](stage))
    except CorruptKey:
        assert stage.dump() == before


def test_totals_overwritten_with_text_stop_no_job(stage: Stage) -> None:
    names = ("enqueued", "acked", "retried", "buried", "released", "reclaimed", "requeued", "stale")
    stage.client.hset(f"{stage.prefix}:counters", mapping=dict.fromkeys(names, "many"))
    stage.queue.enqueue("work")
    while job := stage.queue.reserve_next():
        stage.queue.ack(job)
    assert stage.queue.stats().ready == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_p9_a_job_key_of_a_wrong_type_ends_in_the_dlq_and_loses_nobody(
    script: str, redis_client: redis.Redis, prefix: str, new_queue: Callable[..., RedisJobQueue]
) -> None:
    """Whatever script meets it first: the id isn't lost, is dead-lettered as corrupt, and the others run."""
    for number, job_id in enumerate(JOBS):
        stage = set_stage(redis_client, f"{prefix}n{number}", new_queue)
        spoil(stage, f"job:{job_id}", "hash" if number % 2 else "string")
        before = stage.dump()
        others = set(stage.queue.stats().totals)
        try:
            stage.run(VERBS[script](stage))
        except CorruptKey:
            assert stage.dump() == before
        assert others
        census = take_census(redis_client, stage.prefix)
        lost = {job for job in JOBS if job not in census.ids}
        assert lost <= settled_by(script), f"{script} with a spoilt job:{job_id} lost {lost}"
        assert max(census.ids.values()) == 1
        drain(stage)
        dead = {job.id: job for job in stage.queue.dead()}
        assert job_id in dead or job_id in lost, f"{script}: {job_id} is neither dead nor settled"
        if job_id in dead and job_id != "dead":
            assert dead[job_id].reason == "corrupt"
            assert "missing" in (dead[job_id].last_error or "")
        cancelled = {"lost", "later", "fifth"} if script == "cancel" else set()
        assert set(dead) <= {job_id, "dead", "held"} | cancelled


def settled_by(script: str) -> set[str]:
    """Ids that the stage's call of a script removes for good."""
    return {"ack": {"held"}, "purge": {"first", "fifth"}}.get(script, set())


def drain(stage: Stage) -> list[Job]:
    """Run the queue dry, a long time later."""
    stage.client.delete(f"{stage.prefix}:paused", f"{stage.prefix}:effects")
    stage.clock.advance(10_000_000)
    jobs = []
    while job := stage.queue.reserve_next():
        stage.queue.ack(job)
        jobs.append(job)
    return jobs


def test_an_enqueue_onto_a_spoilt_job_key_is_refused(stage: Stage) -> None:
    stage.client.set(f"{stage.prefix}:job:mine", "spoilt")
    before = stage.dump()
    with pytest.raises(CorruptKey, match="job:mine"):
        stage.queue.enqueue("work", job_id="mine")
    assert stage.dump() == before


def test_a_spoilt_dead_job_is_listed_refused_and_purged(stage: Stage) -> None:
    spoil(stage, "job:dead", "hash")
    (dead,) = stage.queue.dead()
    assert dead.id == "dead"
    assert "is a string" in (dead.last_error or "")
    with pytest.raises(JobsError):
        stage.queue.requeue("dead")
    assert stage.queue.purge_dead() == 1
    assert "job:dead" not in stage.dump()


def test_a_last_tick_that_is_no_number_is_a_typed_error(stage: Stage) -> None:
    stage.client.hset(f"{stage.prefix}:ticks", "nightly", "yesterday")
    with pytest.raises(CorruptKey, match="nightly"):
        stage.queue.last_tick("nightly")
