"""Effects: they commit with their settlement, or not at all (P6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from svcjobs.effects import Count, Effect, Follow, SetResult
from svcjobs.errors import CorruptKey, InvalidJob, JobIsDead, LeaseLost
from svcjobs.queue import Ack, Bury, Fail, JobQueue, NewJob, Outcome, Settlement, Unique
from tests.conformance.backends import Backend
from tests.conformance.taking import take, total


@pytest.fixture
def key(prefix: str) -> str:
    """A key of this test's own."""
    return f"{prefix}-result"


def test_p6_an_ack_sets_its_result(queue: JobQueue, backend: Backend, key: str) -> None:
    queue.enqueue("x")
    queue.ack(take(queue), effects=[SetResult(key, "grün"), SetResult(f"{key}2", b"\x00\xff")])
    assert backend.result(key) == "grün".encode()
    assert backend.result(f"{key}2") == b"\x00\xff"


def test_p6_a_result_goes_away_by_itself(queue: JobQueue, backend: Backend, key: str) -> None:
    queue.enqueue("x")
    queue.ack(take(queue), effects=[SetResult(key, "a", ttl_seconds=1.5), SetResult(f"{key}2", "b", ttl_seconds=60)])
    assert backend.result(key) == b"a"
    backend.let_keys_expire(1.7)
    assert backend.result(key) is None
    assert backend.result(f"{key}2") == b"b"


def test_p6_a_result_set_anew_takes_its_new_time(queue: JobQueue, backend: Backend, key: str) -> None:
    for ttl_seconds in (0.1, None):
        queue.enqueue("x")
        queue.ack(take(queue), effects=[SetResult(key, "a", ttl_seconds=ttl_seconds)])
    backend.let_keys_expire(0.2)
    assert backend.result(key) == b"a"


def test_p6_a_published_result_is_set_too(queue: JobQueue, backend: Backend, key: str) -> None:
    queue.enqueue("x")
    queue.ack(take(queue), effects=[SetResult(key, "a", channel=f"{key}-channel")])
    assert backend.result(key) == b"a"


def test_p6_counters_add_up(queue: JobQueue, backend: Backend, key: str) -> None:
    for by in (1, 5, -2):
        queue.enqueue("x")
        queue.ack(
            take(queue), effects=[Count(key, by), Count(f"{key}-hash", by, field="f"), Count(f"{key}-hash", 1, "g")]
        )
    assert backend.counter(key, None) == 4
    assert backend.counter(f"{key}-hash", "f") == 4
    assert backend.counter(f"{key}-hash", "g") == 3


def test_p6_a_counter_goes_away_by_itself(queue: JobQueue, backend: Backend, key: str) -> None:
    queue.enqueue("x")
    queue.ack(take(queue), effects=[Count(key, ttl_seconds=1.5)])
    assert backend.counter(key, None) == 1
    backend.let_keys_expire(1.7)
    assert backend.counter(key, None) == 0


def test_p6_a_job_follows(queue: JobQueue, backend: Backend) -> None:
    queue.enqueue("first")
    follow = NewJob("second", {"a": [], "b": 2**70}, max_attempts=2, backoff_seconds=7, priority=2, headers={"h": "v"})
    queue.ack(take(queue), effects=[Follow(follow), Follow(NewJob("later", delay_seconds=60))])
    job = take(queue)
    assert (job.name, job.payload, job.max_attempts, job.backoff_seconds) == ("second", {"a": [], "b": 2**70}, 2, 7)
    assert (job.priority, job.headers) == (2, {"h": "v"})
    assert queue.reserve_next() is None
    backend.advance(60)
    assert take(queue).name == "later"
    assert total(queue, "enqueued") == 3


def test_p6_a_job_follows_in_another_queue(queue: JobQueue, backend: Backend) -> None:
    name = f"{backend.prefix}:{{other}}"
    other = backend.open(name)
    queue.enqueue("first")
    queue.ack(take(queue), effects=[Follow(NewJob("second"), queue=name)])
    assert queue.reserve_next() is None
    job = take(other)
    assert (job.name, job.queue, job.id) == ("second", name, "1")
    assert total(other, "enqueued") == 1
    other.ack(job)


def test_p6_a_following_job_that_is_there_already_isnt_stored_twice(queue: JobQueue) -> None:
    queue.enqueue("there", job_id="there")
    queue.enqueue("unique", unique=Unique("k"))
    queue.enqueue("first", priority=0)
    jobs = queue.reserve_many(3)
    queue.ack(jobs[2], effects=[Follow(NewJob("again", job_id="there")), Follow(NewJob("again", unique=Unique("k")))])
    assert queue.stats().ready == 0
    assert total(queue, "enqueued") == 3


@pytest.mark.promise("P6")
def test_p6_a_job_may_follow_under_the_id_of_another_that_the_batch_ends(queue: JobQueue) -> None:
    queue.enqueue("x", {"n": 1}, job_id="first")
    queue.enqueue("x", {"n": 1}, job_id="second")
    first, second = queue.reserve_many(2)
    again = Follow(NewJob("x", {"n": 2}, job_id="second"))
    assert queue.settle_many([Ack(first, [again]), Ack(second)]) == [Outcome.ACKED, Outcome.ACKED]
    assert take(queue).payload == {"n": 2}


def test_p6_a_job_may_follow_itself_under_its_own_id(queue: JobQueue) -> None:
    queue.enqueue("x", {"n": 1}, job_id="mine", unique=Unique("k"))
    old = take(queue)
    queue.ack(old, effects=[Follow(NewJob("x", {"n": 2}, job_id="mine", unique=Unique("k")))])
    new = take(queue)
    assert (new.id, new.payload) == ("mine", {"n": 2})
    with pytest.raises(LeaseLost):
        queue.ack(old)


@pytest.mark.parametrize("verb", ["retried", "exhausted", "buried"])
def test_p6_failures_and_burials_have_effects_too(queue: JobQueue, backend: Backend, key: str, verb: str) -> None:
    queue.enqueue("x", max_attempts=1 if verb == "exhausted" else 5)
    effects: list[Effect] = [SetResult(key, verb), Count(f"{key}-n"), Follow(NewJob("errback"))]
    if verb == "buried":
        queue.bury(take(queue), reason="r", effects=effects)
    else:
        queue.fail(take(queue), effects=effects)
    assert backend.result(key) == verb.encode()
    assert backend.counter(f"{key}-n", None) == 1
    assert take(queue).name == "errback"


@pytest.mark.parametrize("verb", ["ack", "fail", "bury"])
def test_p2_a_stale_settlement_has_no_effects(
    queue: JobQueue, sibling: JobQueue, backend: Backend, key: str, verb: str
) -> None:
    queue.enqueue("x")
    old = take(queue)
    backend.advance(31)
    new = take(sibling)
    effects: list[Effect] = [SetResult(key, "stale"), Count(f"{key}-n"), Follow(NewJob("follow"))]
    settlements: dict[str, Settlement] = {
        "ack": Ack(old, effects),
        "fail": Fail(old, effects=effects),
        "bury": Bury(old, "r", effects=effects),
    }
    assert queue.settle_many([settlements[verb]]) == [Outcome.STALE]
    assert backend.result(key) is None
    assert backend.counter(f"{key}-n", None) == 0
    assert queue.stats().ready == 0
    sibling.ack(new, effects=effects)
    assert backend.counter(f"{key}-n", None) == 1


def test_p6_each_job_of_a_batch_has_its_own_effects(queue: JobQueue, backend: Backend, key: str) -> None:
    queue.enqueue_many([NewJob("x") for _ in range(4)])
    jobs = queue.reserve_many(4)
    queue.settle_many(
        [Ack(job, [SetResult(f"{key}{n}", f"{n}"), Count(key), Follow(NewJob(f"{n}"))]) for n, job in enumerate(jobs)]
    )
    assert [backend.result(f"{key}{n}") for n in range(4)] == [b"0", b"1", b"2", b"3"]
    assert backend.counter(key, None) == 4
    assert [job.name for job in queue.reserve_many(9)] == ["0", "1", "2", "3"]


def test_p6_a_following_job_that_cant_be_stored_refuses_the_settlement(
    queue: JobQueue, backend: Backend, key: str
) -> None:
    queue.enqueue("dead", job_id="dead")
    queue.bury(take(queue), reason="r")
    queue.enqueue("x")
    job = take(queue)
    with pytest.raises(JobIsDead):
        queue.ack(job, effects=[SetResult(key, "a"), Follow(NewJob("y", job_id="dead"))])
    with pytest.raises(InvalidJob):
        queue.ack(job, effects=[SetResult(key, "a"), Follow(NewJob("y", {"x": object()}))])
    assert backend.result(key) is None
    assert queue.stats().in_flight == 1
    queue.ack(job)


def test_p6_a_following_job_takes_the_queues_defaults(backend: Backend) -> None:
    queue = backend.open(max_attempts=2, backoff_seconds=7)
    queue.enqueue("x")
    queue.ack(take(queue), effects=[Follow(NewJob("y"))])
    job = take(queue)
    assert (job.max_attempts, job.backoff_seconds) == (2, 7)


def test_p6_a_following_job_keeps_to_the_payload_limit(backend: Backend) -> None:
    queue = backend.open(max_payload_bytes=20)
    queue.enqueue("x")
    job = take(queue)
    with pytest.raises(InvalidJob, match="at most 20"):
        queue.ack(job, effects=[Follow(NewJob("y", {"a": "x" * 20}))])
    queue.ack(job)


def test_a_batch_is_settled_verb_by_verb(queue: JobQueue) -> None:
    queue.enqueue("holder", unique=Unique("u"))
    queue.enqueue("other")
    holder, other = queue.reserve_many(2)
    follow = Follow(NewJob("next", unique=Unique("u")))
    assert queue.settle_many([Bury(holder, "r"), Ack(other, [follow])]) == [Outcome.BURIED, Outcome.ACKED]
    assert queue.stats().ready == 0, "acks come first: the key wasn't free yet"
    queue.enqueue("twice")
    job = queue.reserve_many(1)[0]
    assert queue.settle_many([Fail(job, "x"), Ack(job)]) == [Outcome.STALE, Outcome.ACKED]


@pytest.mark.parametrize(
    ("first", "then", "refused"),
    [
        (SetResult("{key}", b"x"), Count("{key}", 1, "f"), True),
        (Count("{key}", 1), Count("{key}", 1, "f"), True),
        (Count("{key}", 1, "f"), Count("{key}", 1), True),
        (Count("{key}", 1, "f"), SetResult("{key}", b"x"), False),
        (SetResult("{key}", b"5"), Count("{key}", 1), False),
        (SetResult("{key}", b"x"), Count("{key}", 1), False),
    ],
)
def test_a_key_is_what_its_first_effect_made_of_it(
    queue: JobQueue, backend: Backend, first: Any, then: Any, refused: bool
) -> None:
    key = f"{backend.prefix}-key"
    first, then = replace(first, key=key), replace(then, key=key)
    queue.enqueue_many([NewJob("a"), NewJob("b")])
    one, other = queue.reserve_many(2)
    queue.ack(one, effects=[first])
    if refused:
        with pytest.raises(CorruptKey):
            queue.ack(other, effects=[then])
        assert queue.stats().in_flight == 1
    else:
        queue.ack(other, effects=[then])
        expected = {SetResult: b"x", Count: b"6" if getattr(first, "value", b"") == b"5" else b"x"}[type(then)]
        assert backend.result(key) == expected
