"""Jobs that other hands wrote: run where they can be, dead-lettered with a helpful reason where they can't."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from svcjobs.errors import CorruptKey, JobIsDead
from svcjobs.job import Job, Unique
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Outcome
from tests.audit import check, check_drained
from tests.eventually import eventually

NOT_UTF8 = b"\xff\xfe\x00bad"


def original(**changes: Any) -> dict[Any, Any]:
    """A job as the original library writes it."""
    fields = {
        "id": "7",
        "name": "send_email",
        "payload": json.dumps({"to": "ada@example.com", "n": [1, {"deep": None}]}),
        "available_at": datetime(2025, 1, 15, tzinfo=UTC).isoformat(),
        "attempts": "0",
        "max_attempts": "5",
        "backoff_seconds": "60",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def put(client: redis.Redis, queue: RedisJobQueue, job_id: str | bytes = "7", **changes: Any) -> None:
    """Store such a job and push its id, as the original library does."""
    key = f"{queue.name}:job:".encode() + (job_id if isinstance(job_id, bytes) else job_id.encode())
    client.hset(key, mapping=original(**changes))
    client.lpush(f"{queue.name}:ready", job_id)


def run_all(queue: RedisJobQueue) -> list[Job]:
    jobs = []
    while job := queue.reserve_next():
        queue.ack(job)
        jobs.append(job)
    return jobs


def test_a_job_of_the_original_library_is_processed(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    put(redis_client, queue)
    redis_client.set(f"{queue.name}:seq", "7")
    job = queue.reserve_next()
    assert job
    assert (job.id, job.name, job.payload) == ("7", "send_email", {"to": "ada@example.com", "n": [1, {"deep": None}]})
    assert (job.attempts, job.max_attempts, job.backoff_seconds) == (1, 5, 60)
    assert job.available_at == datetime(2025, 1, 15, tzinfo=UTC)
    queue.ack(job)
    assert queue.enqueue("next").id == "8"


def test_a_queue_in_mid_flight_of_the_original_library_is_drained(
    redis_client: redis.Redis, queue: RedisJobQueue
) -> None:
    """One ready, one delayed and due, one leased whose lease ran out, one that died between pop and lease."""
    for job_id in ("1", "2", "3", "4"):
        redis_client.hset(f"{queue.name}:job:{job_id}", mapping=original(id=job_id))
    redis_client.lpush(f"{queue.name}:ready", "1")
    redis_client.zadd(f"{queue.name}:delayed", {"2": 1.0})
    redis_client.lpush(f"{queue.name}:processing", "3", "4")
    redis_client.zadd(f"{queue.name}:processing_vt", {"3": 1.0})
    queue._protocol.visibility_timeout = 0.05
    done = {job.id for job in run_all(queue)}
    assert done >= {"1", "2", "3"}
    eventually(lambda: done.update(job.id for job in run_all(queue)) or done == {"1", "2", "3", "4"})
    check_drained(redis_client, queue.name)


def test_a_dead_job_of_the_original_library_is_listed_and_requeued(
    redis_client: redis.Redis, queue: RedisJobQueue
) -> None:
    """It lies in the list and has a last_error, and no reason."""
    redis_client.hset(f"{queue.name}:job:7", mapping=original(attempts="5", last_error="oops"))
    redis_client.lpush(f"{queue.name}:dlq", "7")
    (dead,) = queue.dead()
    assert (dead.id, dead.last_error, dead.attempts) == ("7", "oops", 5)
    assert queue.requeue("7").attempts == 0
    assert [job.id for job in run_all(queue)] == ["7"]
    check_drained(redis_client, queue.name)


def test_a_dead_job_of_the_original_library_is_dead_to_every_verb(
    redis_client: redis.Redis, queue: RedisJobQueue
) -> None:
    key = f"{queue.name}:job:7"
    redis_client.hset(key, mapping=original(attempts="5", last_error="oops"))
    redis_client.lpush(f"{queue.name}:dlq", "7")
    before = redis_client.hgetall(key)
    with pytest.raises(JobIsDead):
        queue.enqueue("send_email", job_id="7")
    with pytest.raises(JobIsDead):
        queue.cancel("7")
    assert queue.place("7") == "dead"
    assert redis_client.hgetall(key) == before


def test_a_job_in_its_last_attempt_is_not_taken_for_a_dead_one(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    for job_id, list_name in (("7", "processing"), ("8", "ready")):  # the original library's, which has no tokens
        redis_client.hset(f"{queue.name}:job:{job_id}", mapping=original(id=job_id, attempts="5"))
        redis_client.lpush(f"{queue.name}:{list_name}", job_id)
        assert not queue.enqueue("send_email", job_id=job_id).created
        assert queue.place(job_id) == "ready"
    redis_client.delete(f"{queue.name}:dlq")
    redis_client.set(f"{queue.name}:dlq", "no list")
    with pytest.raises(CorruptKey, match="dlq is a string"):
        queue.enqueue("send_email", job_id="7")


def test_edits_by_hand_are_honoured(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    put(redis_client, queue)
    redis_client.hset(f"{queue.name}:job:7", "max_attempts", 1)
    job = queue.reserve_next()
    assert job
    assert job.max_attempts == 1
    assert queue.fail(job, error="oops") == "buried"
    assert queue.dead()[0].reason == "exhausted"

    later = queue.enqueue("later", delay_seconds=3600)
    assert queue.reserve_next() is None
    redis_client.zadd(f"{queue.name}:delayed", {later.id: 0})
    job = queue.reserve_next()
    assert job
    assert job.id == later.id

    redis_client.hset(f"{queue.name}:job:{later.id}", mapping={"max_attempts": 1})
    assert queue.fail(job, error="oops") == "buried", "an edit while the job runs counts"


UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": None}, "name is missing"),
    "no payload": ({"payload": None}, "payload is missing"),
    "no attempts": ({"attempts": None}, "attempts is missing"),
    "payload of broken JSON": ({"payload": '{"to": '}, "payload"),
    "payload is a list": ({"payload": "[1, 2]"}, "not an object"),
    "payload is a number": ({"payload": "7"}, "not an object"),
    "payload is null": ({"payload": "null"}, "not an object"),
    "payload is empty": ({"payload": ""}, "payload"),
    "payload with NaN": ({"payload": '{"x": NaN}'}, "NaN is no JSON number"),
    "payload with infinity": ({"payload": '{"x": [-Infinity]}'}, "-Infinity is no JSON number"),
    "payload too deep": ({"payload": "[" * 100_000}, "payload"),
    "attempts is no number": ({"attempts": "many"}, "attempts"),
    "attempts is a fraction": ({"attempts": "1.5"}, "attempts"),
    "attempts is hexadecimal": ({"attempts": "0x1"}, "attempts"),
    "max_attempts is no number": ({"max_attempts": "many"}, "max_attempts"),
    "max_attempts is infinite": ({"max_attempts": "inf"}, "max_attempts"),
    "backoff is no number": ({"backoff_seconds": "soon"}, "backoff_seconds"),
    "backoff is NaN": ({"backoff_seconds": "nan"}, "backoff_seconds"),
    "backoff is infinite": ({"backoff_seconds": "inf"}, "backoff_seconds"),
    "priority is no number": ({"priority": "high"}, "priority"),
    "retry is no policy": ({"retry": "sometimes"}, "retry"),
    "retry with NaN": ({"retry": "exponential;factor=nan"}, "retry"),
    "headers are broken JSON": ({"headers": "{"}, "headers"),
    "headers are a list": ({"headers": "[1]"}, "headers"),
    "headers are too deep": ({"headers": "[" * 100_000}, "headers"),
    "history is broken JSON": ({"history": "{\n{"}, "history"),
    "unique without a scope": ({"unique": "often:x"}, "unique"),
    "unique window is no number": ({"unique": "window=soon:x"}, "unique"),
    "name isn't UTF-8": ({"name": NOT_UTF8}, "name"),
    "payload isn't UTF-8": ({"payload": NOT_UTF8}, "payload"),
    "attempts aren't UTF-8": ({"attempts": NOT_UTF8}, "attempts"),
    "max_attempts aren't UTF-8": ({"max_attempts": NOT_UTF8}, "max_attempts"),
    "backoff isn't UTF-8": ({"backoff_seconds": NOT_UTF8}, "backoff_seconds"),
    "priority isn't UTF-8": ({"priority": NOT_UTF8}, "priority"),
    "retry isn't UTF-8": ({"retry": NOT_UTF8}, "retry"),
    "headers aren't UTF-8": ({"headers": NOT_UTF8}, "headers"),
    "history isn't UTF-8": ({"history": NOT_UTF8}, "history"),
    "unique isn't UTF-8": ({"unique": NOT_UTF8}, "unique"),
}


@pytest.mark.promise("P9")
@pytest.mark.parametrize("case", UNREADABLE)
def test_p9_an_unreadable_job_is_dead_lettered_with_what_is_wrong(
    redis_client: redis.Redis, queue: RedisJobQueue, case: str
) -> None:
    changes, complaint = UNREADABLE[case]
    put(redis_client, queue, **changes)
    redis_client.hset(f"{queue.name}:job:8", mapping=original(id="8"))
    redis_client.lpush(f"{queue.name}:ready", "8")
    assert [job.id for job in run_all(queue)] == ["8"], "the next job is processed"
    (dead,) = queue.dead()
    assert (dead.id, dead.reason) == ("7", "corrupt")
    assert complaint in (dead.last_error or "")
    assert queue.reserve_next() is None
    for field, value in changes.items():
        if value is not None:
            kept = redis_client.hget(f"{queue.name}:job:7", field)
            assert kept is not None
            assert kept.startswith(value if isinstance(value, bytes) else value.encode()), "nothing is dropped"
    queue.requeue("7")
    if "attempts" in changes:  # a requeue sets it anew
        assert [job.id for job in run_all(queue)] == ["7"]
    else:
        assert queue.reserve_next() is None, "mended by nobody, it is dead again"
        assert queue.purge_dead("7") == 1
    check_drained(redis_client, queue.name)


HARMLESS: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "no available_at": {"available_at": None},
    "no limits": {"max_attempts": None, "backoff_seconds": None},
    "available_at is no instant": {"available_at": "tomorrow"},
    "available_at isn't UTF-8": {"available_at": NOT_UTF8},
    "id isn't UTF-8": {"id": NOT_UTF8},
    "last_error isn't UTF-8": {"last_error": NOT_UTF8},
    "traceback isn't UTF-8": {"traceback": NOT_UTF8},
    "a field of somebody's own": {"colour": "red", "size": NOT_UTF8},
    "fractions": {"backoff_seconds": "0.5"},
    "negative backoff": {"backoff_seconds": "-5"},
    "a lease of old": {"lease": "3-somebody"},
    "a large payload": {"payload": json.dumps({"data": "x" * 10_000_000})},
    "large integers": {"payload": '{"n": 9007199254740993, "e": {}, "l": []}'},
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_job_with_a_blemish_is_processed(redis_client: redis.Redis, queue: RedisJobQueue, case: str) -> None:
    put(redis_client, queue, **HARMLESS[case])
    job = queue.reserve_next()
    assert job
    assert job.verdict is None
    assert queue.fail(job, error="oops", delay_seconds=0) == "retried"
    (job,) = run_all(queue)
    if case == "large integers":
        assert job.payload == {"n": 9007199254740993, "e": {}, "l": []}
    check_drained(redis_client, queue.name)


@pytest.mark.promise("P9")
@pytest.mark.parametrize("job_id", [b"\xff\xfe", b"line\nbreak", b"7\x00", b"\xed\xa0\x80"])
def test_p9_an_id_that_is_no_text_is_run_and_settled(
    redis_client: redis.Redis, queue: RedisJobQueue, job_id: bytes
) -> None:
    put(redis_client, queue, job_id)
    put(redis_client, queue, "8")
    assert len(run_all(queue)) == 2
    check_drained(redis_client, queue.name)


@pytest.mark.promise("P9")
def test_p9_an_id_that_is_no_text_and_has_no_hash_is_dead_lettered_once(
    redis_client: redis.Redis, queue: RedisJobQueue
) -> None:
    redis_client.lpush(f"{queue.name}:ready", b"\xff\xfe", "gone")
    assert queue.reserve_next() is None
    dead = queue.dead()
    assert [job.reason for job in dead] == ["corrupt", "corrupt"]
    assert all("hash is missing" in (job.last_error or "") for job in dead)
    assert queue.purge_dead(dead[0].id) + queue.purge_dead(dead[1].id) == 2
    check_drained(redis_client, queue.name)


def test_an_id_that_was_pushed_twice_runs_once(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    put(redis_client, queue)
    redis_client.lpush(f"{queue.name}:ready", "7")
    jobs = queue.reserve_many(10)
    assert [job.id for job in jobs] == ["7"]
    assert jobs[0].attempts == 1
    check(redis_client, queue.name, {"7"})
    queue.ack(jobs[0])
    assert queue.reserve_next() is None
    check_drained(redis_client, queue.name)


def test_scores_beyond_the_calendar_break_nothing(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    put(redis_client, queue)
    redis_client.hset(f"{queue.name}:job:8", mapping=original(id="8"))
    for score in (1e300, math.inf, 1e17):
        redis_client.zadd(f"{queue.name}:delayed", {"8": score})
        stats = queue.stats()
        assert stats.delayed == 1
    assert [job.id for job in run_all(queue)] == ["7"]
    redis_client.zadd(f"{queue.name}:delayed", {"8": -math.inf})
    assert queue.stats().delayed == 1
    assert [job.id for job in run_all(queue)] == ["8"]


@pytest.mark.parametrize(
    ("changes", "verb"),
    [
        ({"backoff_seconds": "nan"}, "fail"),
        ({"backoff_seconds": "inf"}, "fail"),
        ({"backoff_seconds": "1e300"}, "fail"),
        ({"backoff_seconds": "-nan"}, "fail"),
        ({"attempts": "nan"}, "fail"),
        ({"attempts": "inf"}, "fail"),
        ({"attempts": "many"}, "fail"),
        ({"max_attempts": "nan"}, "fail"),
        ({"retry_until": "nan"}, "fail"),
        ({"attempts": "nan"}, "release"),
        ({"priority": "nan"}, "release"),
        ({"priority": "5.5"}, "release"),
        ({"priority": "99"}, "release"),
        ({"history": "x" * 20_000}, "fail"),
        ({"unique": ":"}, "ack"),
        ({"unique": "done"}, "fail"),
    ],
)
def test_p1_a_job_spoilt_while_it_runs_is_never_lost(
    redis_client: redis.Redis, queue: RedisJobQueue, changes: dict[str, str], verb: str
) -> None:
    put(redis_client, queue)
    job = queue.reserve_next()
    assert job
    redis_client.hset(f"{queue.name}:job:7", mapping=changes)
    getattr(queue, verb)(job)
    check(redis_client, queue.name, set() if verb == "ack" else {"7"})


@pytest.mark.promise("P9")
def test_p9_an_unknown_name_and_a_killer_end_dead(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    """The queue's part: failing to the end is `exhausted`, losing every worker is `worker_lost`."""
    put(redis_client, queue, name="nobody_knows", max_attempts="2")
    for _ in range(2):
        job = queue.reserve_next()
        assert job
        queue.fail(job, error="Unknown job type: nobody_knows", delay_seconds=0)
    put(redis_client, queue, "8", max_attempts="3")
    starts = 0
    while queue.reserve_next():
        starts += 1
        redis_client.zadd(f"{queue.name}:processing_vt", {"8": 0})
    assert starts == 3
    assert {(job.id, job.reason) for job in queue.dead()} == {("7", "exhausted"), ("8", "worker_lost")}
    assert all(job.payload["to"] == "ada@example.com" and job.last_error for job in queue.dead())
    assert [entry["attempt"] for entry in queue.dead(1)[0].history] == [1, 2, 3]


def test_a_unique_key_that_holds_no_id_is_a_typed_error(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    redis_client.set(f"{queue.name}:unique:k", "a\nb", ex=60)
    with pytest.raises(CorruptKey):
        queue.enqueue("work", unique=Unique("k", "window", 60))


def test_a_dead_job_that_is_moved_back_by_hand_lives_again(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    queue.enqueue("n", job_id="x", max_attempts=1)
    job = queue.reserve_next()
    assert job is not None
    queue.fail(job, error="E")
    redis_client.rpoplpush(f"{queue.name}:dlq", f"{queue.name}:ready")
    assert queue.place("x") == "ready"
    redis_client.hset(f"{queue.name}:job:x", mapping={"attempts": 0, "max_attempts": 3})
    again = queue.reserve_next()
    assert again is not None
    assert (again.id, again.reason, again.dead_at, again.attempts) == ("x", None, None, 1)
    assert queue.place("x") == "leased"
    queue.fail(again, error="F")
    stored = queue.get("x")
    assert stored is not None
    assert (stored.reason, stored.last_error, queue.place("x")) == (None, "F", "delayed")


def test_a_dead_job_that_is_moved_back_by_hand_can_be_cancelled(
    redis_client: redis.Redis, queue: RedisJobQueue
) -> None:
    job = queue.enqueue("n", job_id="x", max_attempts=1)
    assert queue.reserve_next() is not None
    queue.fail(job.id, error="E")
    redis_client.rpoplpush(f"{queue.name}:dlq", f"{queue.name}:ready")
    assert queue.cancel("x") is Outcome.CANCELLED
    assert queue.reserve_next() is None
    assert [(job.id, job.reason) for job in queue.dead()] == [("x", "cancelled")]
