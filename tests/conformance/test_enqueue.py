"""What enqueue takes, refuses and returns, and the order in which jobs come out."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from svcjobs.errors import InvalidJob, JobIsDead, PayloadTooLarge
from svcjobs.queue import JobQueue, NewJob, RetryPolicy, Unique
from tests.conformance.backends import Backend
from tests.conformance.taking import stored, take


def names(queue: JobQueue, limit: int = 100, **options: Any) -> list[str]:
    return [job.name for job in queue.reserve_many(limit, **options)]


def test_every_backend_is_a_job_queue(queue: JobQueue, backend: Backend) -> None:
    if backend.name != "async-redis":
        assert isinstance(queue, JobQueue)
    assert queue.name == backend.prefix
    assert queue.visibility_timeout == 30


def test_the_first_job_is_number_one_and_has_the_documented_defaults(queue: JobQueue, backend: Backend) -> None:
    job = queue.enqueue("send_email", {"to": "a@b.c"})
    assert (job.id, job.name, job.payload) == ("1", "send_email", {"to": "a@b.c"})
    assert (job.attempts, job.max_attempts, job.backoff_seconds, job.last_error) == (0, 5, 60, None)
    assert job.available_at.timestamp() == pytest.approx(backend.clock(), abs=0.001)
    assert job.available_at.utcoffset() is not None
    assert (job.queue, job.uid) == (backend.prefix, f"{backend.prefix}:1")
    assert (job.created, job.lease, job.priority, job.headers) == (True, None, 0, {})
    assert queue.enqueue("b").id == "2"
    assert queue.enqueue("c").payload == {}


def test_all_options_are_stored(queue: JobQueue) -> None:
    policy = RetryPolicy("exponential", factor=3, max_delay_seconds=50, jitter=0.25)
    unique = Unique("k:with:colons", "done")
    queue.enqueue(
        "n", {"a": 1}, max_attempts=2, backoff_seconds=1.5, retry=policy, job_id="mine", unique=unique,
        priority=4, headers={"trace": "ü=1\n2"},
    )  # fmt: skip
    for job in (stored(queue, "mine"), take(queue)):
        assert (job.id, job.name, job.payload) == ("mine", "n", {"a": 1})
        assert (job.max_attempts, job.backoff_seconds, job.retry, job.unique) == (2, 1.5, policy, unique)
        assert (job.priority, job.headers) == (4, {"trace": "ü=1\n2"})


def test_the_queues_own_defaults_are_taken(backend: Backend) -> None:
    queue = backend.open(max_attempts=2, backoff_seconds=7)
    queue.enqueue("a")
    queue.enqueue("b", max_attempts=5, backoff_seconds=60)
    first, second = queue.reserve_many(2)
    assert (first.max_attempts, first.backoff_seconds) == (2, 7)
    assert (second.max_attempts, second.backoff_seconds) == (5, 60)


def test_jobs_come_out_in_the_order_they_went_in(queue: JobQueue) -> None:
    queue.enqueue("a")
    queue.enqueue_many([NewJob("b"), NewJob("c")])
    queue.enqueue("d")
    assert names(queue, 2) == ["a", "b"]
    assert names(queue, 1) == ["c"]
    assert names(queue) == ["d"]
    assert names(queue) == []


def test_priority_zero_is_first_and_nine_last(queue: JobQueue) -> None:
    for priority in (9, 3, 0, 5, 3):
        queue.enqueue(f"p{priority}", priority=priority)
    assert queue.stats().ready_by_priority == {0: 1, 3: 2, 5: 1, 9: 1}
    assert names(queue) == ["p0", "p3", "p3", "p5", "p9"]


def test_lowest_first_reverses_the_priorities_and_not_the_order_within_one(queue: JobQueue) -> None:
    for name, priority in (("a", 0), ("b", 9), ("c", 9), ("d", 4)):
        queue.enqueue(name, priority=priority)
    assert names(queue, lowest_first=True) == ["b", "c", "d", "a"]


def test_a_job_keeps_its_priority_through_retry_release_and_reclaim(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("low", priority=9)
    for leave in (lambda job: queue.fail(job, delay_seconds=0), queue.release, lambda job: backend.advance(31)):
        job = take(queue)
        assert job.name == "low"
        leave(job)
        queue.enqueue("high")
        first, second = queue.reserve_many(2)
        assert (first.name, second.name) == ("high", "low")
        queue.ack(first)
        queue.release(second)


def test_p9_a_generated_id_never_meets_a_chosen_one(queue: JobQueue) -> None:
    for chosen in ("1", "3", "4"):
        queue.enqueue("chosen", job_id=chosen)
    ids = [queue.enqueue("x").id for _ in range(4)]
    assert len({"1", "3", "4", *ids}) == 7
    assert queue.stats().ready == 7


@pytest.mark.parametrize(
    "payload",
    [
        {"empty": {"list": [], "dict": {}, "text": ""}, "none": None, "yes": True},
        {"big": 2**80, "negative": -(2**63) - 1, "float": 0.1 + 0.2, "tiny": 5e-324, "e": 1e22, "whole": 1.0},
        {"text": "Grüße, 世界 🎉\x00\x1f\u2028\\\"'", "": "empty key", "ключ": [1, [2, [3, {}]]]},
        {"nested": {"a": [{"b": []}, {}]}},
        {},
    ],
)
def test_a_payload_comes_out_as_it_went_in(queue: JobQueue, payload: dict[str, Any]) -> None:
    queue.enqueue("x", payload)
    job = take(queue)
    assert job.payload == payload
    assert repr(job.payload) == repr(payload)  # 1 == 1.0 == True


def test_a_payload_is_what_json_makes_of_it(queue: JobQueue) -> None:
    queue.enqueue("x", {"tuple": (1, 2), 3: "key"})  # type: ignore[dict-item]
    job = take(queue)
    assert job.payload == {"tuple": [1, 2], "3": "key"}


def test_changing_the_payload_afterwards_changes_nothing_stored(queue: JobQueue) -> None:
    payload = {"list": [1]}
    queue.enqueue("x", payload)
    payload["list"].append(2)
    job = take(queue)
    job.payload["list"].append(3)
    queue.release(job)
    assert take(queue).payload == {"list": [1]}


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": None},
        {"name": 7},
        {"name": "a\nb"},
        {"name": "\ud800"},
        {"payload": [1]},
        {"payload": "text"},
        {"payload": {"x": math.nan}},
        {"payload": {"x": math.inf}},
        {"payload": {"x": "\ud800"}},
        {"payload": {"x": b"bytes"}},
        {"payload": {"x": object}},
        {"payload": {"x": {1, 2}}},
        {"payload": {(1, 2): "x"}},
        {"delay_seconds": -1},
        {"delay_seconds": math.nan},
        {"delay_seconds": math.inf},
        {"delay_seconds": "5"},
        {"delay_seconds": True},
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"backoff_seconds": -1},
        {"backoff_seconds": math.inf},
        {"backoff_seconds": "60"},
        {"job_id": ""},
        {"job_id": "a\x00b"},
        {"job_id": "x" * 257},
        {"job_id": "\udfff"},
        {"priority": -1},
        {"priority": 10},
        {"priority": 1.0},
        {"priority": False},
        {"headers": {"a": "\ud800"}},
        {"headers": {"a": 1}},
        {"headers": {1: "a"}},
        {"headers": ["a"]},
    ],
    ids=ascii,
)
def test_p9_a_bad_argument_is_refused_and_stores_nothing(queue: JobQueue, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        queue.enqueue(**({"name": "x"} | arguments))
    with pytest.raises(InvalidJob):
        queue.enqueue_many([NewJob("ok"), NewJob(**({"name": "x"} | arguments))])
    assert queue.stats().ready == 0
    assert queue.reserve_next() is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": ""},
        {"key": "a\nb"},
        {"key": "\ud800"},
        {"key": "k", "scope": "for ever"},
        {"key": "k", "scope": "window"},
        {"key": "k", "scope": "done", "window_seconds": 5},
        {"key": "k", "scope": "window", "window_seconds": 0},
        {"key": "k", "scope": "window", "window_seconds": math.inf},
        {"key": "k", "scope": "window", "window_seconds": math.nan},
    ],
    ids=ascii,
)
def test_a_bad_unique_key_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        Unique(**arguments)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """A collection in the depth of a recursion would run finalizers that find no stack, which pytest reports."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_p9_recursion_without_end_is_refused(queue: JobQueue) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"d": deep}
    for payload in (loop, deep):
        with pytest.raises(InvalidJob):
            queue.enqueue("x", payload)


def test_p9_a_payload_over_the_limit_is_refused_with_both_sizes(backend: Backend) -> None:
    queue = backend.open(max_payload_bytes=20)
    queue.enqueue("x", {"a": "12345678901234"[:12]})  # {"a":"123456789012"} has 20 bytes
    with pytest.raises(PayloadTooLarge) as caught:
        queue.enqueue("x", {"a": "€€€€€"})  # 15 bytes of 5 characters
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (23, 20)
    with pytest.raises(PayloadTooLarge):
        queue.enqueue_many([NewJob("ok"), NewJob("x", {"a": "1234567890123"})])
    assert queue.stats().ready == 1


def test_the_default_limit_is_a_mebibyte(queue: JobQueue) -> None:
    fits = "x" * (1_048_576 - len('{"a":""}'))
    queue.enqueue("x", {"a": fits})
    with pytest.raises(PayloadTooLarge):
        queue.enqueue("x", {"a": fits + "x"})


def test_a_live_job_with_the_same_id_is_returned_instead(queue: JobQueue, backend: Backend) -> None:
    first = queue.enqueue("a", {"n": 1}, job_id="mine")
    again = queue.enqueue("b", {"n": 2}, job_id="mine")
    assert (first.created, again.created, again.id) == (True, False, "mine")
    job = take(queue)
    assert (job.name, job.payload) == ("a", {"n": 1})
    assert not queue.enqueue("c", job_id="mine").created  # leased
    queue.fail(job)
    assert not queue.enqueue("c", job_id="mine").created  # delayed
    backend.advance(60)
    queue.ack(take(queue))
    assert queue.enqueue("d", job_id="mine").created
    assert queue.stats().totals["enqueued"] == 2


def test_the_same_id_twice_in_one_batch_is_one_job(queue: JobQueue) -> None:
    jobs = queue.enqueue_many([NewJob("a", job_id="x"), NewJob("b"), NewJob("c", job_id="x")])
    assert [(job.id, job.created) for job in jobs] == [("x", True), ("1", True), ("x", False)]
    assert names(queue) == ["a", "b"]


def test_an_id_in_the_dead_letter_queue_is_refused_and_its_batch_too(queue: JobQueue) -> None:
    queue.enqueue("a", job_id="mine")
    queue.bury(take(queue), reason="bad")
    with pytest.raises(JobIsDead, match="mine"):
        queue.enqueue("a", job_id="mine")
    with pytest.raises(JobIsDead):
        queue.enqueue_many([NewJob("other"), NewJob("a", job_id="mine")])
    assert queue.stats().ready == 0
    queue.purge_dead("mine")
    assert queue.enqueue("a", job_id="mine").created


def test_nothing_to_enqueue_is_no_error(queue: JobQueue) -> None:
    assert queue.enqueue_many([]) == []


def test_many_jobs_keep_their_order_over_several_batches(queue: JobQueue) -> None:
    jobs = queue.enqueue_many([NewJob("x", {"n": n}) for n in range(1203)])
    assert [job.id for job in jobs] == [str(n + 1) for n in range(1203)]
    taken = []
    while jobs := queue.reserve_many(400):
        taken += [job.payload["n"] for job in jobs]
    assert taken == list(range(1203))


def test_any_id_that_is_taken_works_in_every_verb(queue: JobQueue) -> None:
    for job_id in ("a:b", "{x}", "ünï 世", "x" * 256, "-1", "0", "%", "'\"\\", "a b"):
        queue.enqueue("x", job_id=job_id)
        for verb in (queue.release, lambda job: queue.fail(job, delay_seconds=0)):
            job = take(queue)
            assert job.id == job_id
            queue.extend(job)
            verb(job)
        queue.bury(take(queue), reason="r")
        assert [job.id for job in queue.dead()] == [job_id]
        queue.requeue(job_id)
        assert stored(queue, job_id).id == job_id
        queue.reserve_next()
        queue.ack(job_id)
        assert queue.get(job_id) is None


def test_get_finds_a_job_wherever_it_is(queue: JobQueue) -> None:
    assert queue.get("1") is None
    assert queue.get("") is None
    queue.enqueue("ready")
    queue.enqueue("delayed", delay_seconds=5)
    assert [stored(queue, job_id).name for job_id in ("1", "2")] == ["ready", "delayed"]
    queue.bury(take(queue), reason="bad")
    dead = queue.get("1")
    assert dead is not None
    assert dead.reason == "bad"


def test_what_enqueue_returns_is_what_was_stored_and_not_the_callers_own(queue: JobQueue) -> None:
    payload: dict[Any, Any] = {"pair": (1, 2), 3: [{}]}
    headers = {"a": "b"}
    one = queue.enqueue("n", payload, headers=headers)
    two = queue.enqueue_many([NewJob("n", payload, headers=headers)])[0]
    for job in (one, two):
        assert (job.payload, job.headers) == ({"pair": [1, 2], "3": [{}]}, {"a": "b"})
        job.payload["3"].append("mine")
        job.headers["c"] = "d"
    assert (payload, headers) == ({"pair": (1, 2), 3: [{}]}, {"a": "b"})
    assert take(queue).payload == {"pair": [1, 2], "3": [{}]}


@pytest.mark.parametrize("job_id", [1, b"1", None, 1.5])
def test_an_id_that_is_no_text_is_refused(queue: JobQueue, job_id: Any) -> None:
    queue.enqueue("n")
    calls: list[Callable[[], object]] = [
        lambda: queue.get(job_id), lambda: queue.place(job_id), lambda: queue.cancel(job_id),
        lambda: queue.cancel_many(["1", job_id]), lambda: queue.requeue(job_id), lambda: queue.requeue_many([job_id]),
        lambda: queue.purge_dead([job_id]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidJob, match="ids are text" + (": write '1'" if job_id == 1 else "")):
            call()
    assert queue.stats().ready == 1


@pytest.mark.parametrize("tick_at", [math.nan, math.inf, -math.inf, "0", True, None])
def test_a_tick_at_no_instant_is_refused_and_blocks_no_later_one(queue: JobQueue, tick_at: Any) -> None:
    with pytest.raises(InvalidJob, match="seconds since the epoch"):
        queue.claim_tick("hourly", tick_at, NewJob("n"))
    assert queue.last_tick("hourly") is None
    assert queue.claim_tick("hourly", 10, NewJob("n")) is not None
