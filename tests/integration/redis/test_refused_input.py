"""What can't be stored or carried out is refused before anything is written, with a typed error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import redis

from svcjobs.effects import Count, Follow, SetResult
from svcjobs.errors import ConfigurationError, InvalidJob, JobsError, PayloadTooLarge
from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack
from svcjobs.worker import process_one
from tests.audit import check
from tests.servers import RedisServer


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e300, "soon", None])
@pytest.mark.parametrize("verb", ["enqueue", "fail", "release", "extend", "backoff"])
def test_a_duration_out_of_range_is_a_typed_error_and_the_job_stays(
    redis_client: redis.Redis, queue: RedisJobQueue, verb: str, seconds: Any
) -> None:
    queue.enqueue("work", job_id="7")
    job = queue.reserve_next()
    assert job
    acts: dict[str, Any] = {
        "enqueue": lambda: queue.enqueue("work", job_id="7", delay_seconds=seconds),
        "fail": lambda: queue.fail(job, delay_seconds=seconds),
        "release": lambda: queue.release(job, delay_seconds=seconds),
        "extend": lambda: queue.extend(job, seconds=seconds),
        "backoff": lambda: queue.enqueue("work", job_id="7", backoff_seconds=seconds),
    }
    if seconds is None and verb in ("fail", "extend", "backoff"):
        return  # the default
    with pytest.raises(JobsError):
        acts[verb]()
    check(redis_client, queue.name, {"7"})


@pytest.mark.parametrize(("field", "value"), [("backoff_seconds", math.nan), ("backoff_seconds", "soon"),
                                              ("max_attempts", 0), ("max_attempts", "many")])  # fmt: skip
def test_a_limit_that_a_handler_garbles_is_left_as_it_was(queue: RedisJobQueue, field: str, value: Any) -> None:
    queue.enqueue("work", job_id="7")
    job = queue.reserve_next()
    assert job
    setattr(job, field, value)
    assert queue.fail(job) == "retried"
    kept = queue.get("7")
    assert kept
    assert (kept.max_attempts, kept.backoff_seconds) == (5, 60)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -5, "60", None, True])
def test_a_queue_whose_leases_last_no_time_is_refused(redis_client: redis.Redis, prefix: str, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="visibility_timeout is"):
        RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=seconds)


@pytest.mark.parametrize("defaults", [{"max_attempts": 0}, {"max_attempts": 10**16}, {"backoff_seconds": -1}])
def test_a_queue_whose_defaults_no_job_can_have_is_refused(
    redis_client: redis.Redis, prefix: str, defaults: Any
) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(defaults))):
        RedisJobQueue(redis_client, prefix=prefix, **defaults)


def test_a_reserve_without_a_lease_takes_nothing(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    queue.enqueue("work", job_id="7")
    queue._protocol.visibility_timeout = "60"  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="no number of seconds"):
        queue.reserve_next()
    check(redis_client, queue.name, {"7"})
    assert queue.stats().ready == 1


async def test_effects_that_cannot_be_stored_cost_the_attempt_that_has_them(queue: RedisJobQueue) -> None:
    queue.enqueue("work", job_id="7", max_attempts=1)
    assert await process_one(queue, lambda job: Ack(job, [Follow(NewJob("next", {"a": {1}}))]))
    (dead,) = queue.dead()
    assert (dead.id, dead.reason) == ("7", "exhausted")
    assert (
        dead.last_error
        == "InvalidJob: the payload can't be written as JSON: Object of type set is not JSON serializable"
    )
    for effects in ([5], [None]):
        queue.requeue("7")
        job = queue.reserve_next()
        assert job
        with pytest.raises(InvalidJob, match="is no effect"):
            queue.ack(job, effects=effects)  # type: ignore[arg-type]
        queue.bury(job, reason="again")


def test_a_result_for_a_database_that_is_not_there_is_refused_with_its_settlement(
    redis_client: redis.Redis, queue: RedisJobQueue
) -> None:
    queue.enqueue("work", job_id="7")
    job = queue.reserve_next()
    assert job
    with pytest.raises(JobsError, match="DB index"):
        queue.ack(job, effects=[SetResult("k", "v", db=99)])
    check(redis_client, queue.name, {"7"})
    queue.ack(job, effects=[SetResult(f"{queue.name}:k", "v", db=3)])
    assert redis_client.get(f"{queue.name}:k") is None


def test_effects_in_another_database_leave_the_rest_where_it_belongs(redis_server: RedisServer, prefix: str) -> None:
    client = redis.Redis(port=redis_server.port, db=1)
    queue = RedisJobQueue(client, prefix=prefix)
    queue.enqueue("work")
    job = queue.reserve_next()
    assert job
    queue.ack(job, effects=[SetResult(f"{prefix}:r", "there", db=3), Count(f"{prefix}:n"), Follow(NewJob("next"))])
    with redis.Redis(port=redis_server.port, db=3) as there:
        assert there.get(f"{prefix}:r") == b"there"
        assert list(there.scan_iter(match=f"{prefix}*")) == [f"{prefix}:r".encode()]
    assert client.get(f"{prefix}:n") == b"1"
    follower = queue.reserve_next()
    assert follower
    assert follower.name == "next"
    queue.close()
    client.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SetResult("k", "v", db=-1),
        lambda: SetResult("k", "v", ttl_seconds=1e17),
        lambda: SetResult("k", "v", ttl_seconds=math.inf),
        lambda: SetResult("k", "v", ttl_seconds=math.nan),
        lambda: SetResult("k", None),  # type: ignore[arg-type]
        lambda: SetResult("k", "\ud800"),
        lambda: SetResult("", "v"),
        lambda: Count("k", ttl_seconds=1e17),
        lambda: Count("k", by="many"),  # type: ignore[arg-type]
        lambda: Count("k", by=2**63),
    ],
)
def test_an_effect_that_redis_cannot_take_is_refused_where_it_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidJob):
        make()


REFUSED: dict[str, dict[str, Any]] = {
    "NaN": {"payload": {"x": math.nan}},
    "infinity": {"payload": {"x": math.inf}},
    "bytes": {"payload": {"x": b"raw"}},
    "a set": {"payload": {"x": {1}}},
    "an object": {"payload": {"x": object()}},
    "a lone surrogate": {"payload": {"x": "\ud800"}},
    "no dict": {"payload": [1]},
    "no name": {"name": ""},
    "a name with a line break": {"name": "a\nb"},
    "a name with a surrogate": {"name": "\ud800"},
    "an id with a line break": {"job_id": "a\nb"},
    "an empty id": {"job_id": ""},
    "no whole attempts": {"max_attempts": 1.5},
    "no attempts": {"max_attempts": 0},
    "a priority too low": {"priority": 10},
    "headers of objects": {"headers": {"x": object()}},
    "headers with NaN": {"headers": {"x": math.nan}},
    "headers in a list": {"headers": ["x"]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_p9_what_cannot_be_stored_is_refused_at_enqueue(
    redis_client: redis.Redis, queue: RedisJobQueue, case: str
) -> None:
    fields = {"name": "work"} | REFUSED[case]
    with pytest.raises(InvalidJob):
        queue.enqueue(**fields)
    assert not list(redis_client.scan_iter(match=f"{queue.name}:*"))


def test_p9_a_batch_with_one_bad_job_stores_nothing(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    with pytest.raises(InvalidJob):
        queue.enqueue_many([NewJob("good"), NewJob("bad", {"x": math.nan})])
    assert not list(redis_client.scan_iter(match=f"{queue.name}:*"))


def test_p9_a_payload_over_the_limit_is_refused_at_enqueue(redis_client: redis.Redis, queue: RedisJobQueue) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        queue.enqueue("work", {"data": "ä" * 5_000_000})
    assert refused.value.size_bytes > 10_000_000
    assert not list(redis_client.scan_iter(match=f"{queue.name}:*"))
