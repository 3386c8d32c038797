"""The outbox stores: one suite over memory and each database."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker

from svcjobs.clock import MovableClock, utc
from svcjobs.db.outbox import InMemoryOutboxStore, Outbox, OutboxMessage, OutboxStore, TopicBacklog
from svcjobs.errors import InvalidJob
from tests.databases import KINDS

START = 1_700_000_000.25


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(START)


@pytest.fixture(params=["memory", *KINDS])
def outbox(request: pytest.FixtureRequest, clock: MovableClock, make_engine: Callable[[str], Engine]) -> Outbox:
    if request.param == "memory":
        return InMemoryOutboxStore(clock)
    return OutboxStore(sessionmaker(make_engine(request.param)), clock=clock)


def test_a_message_comes_back_as_it_was_put_in(outbox: Outbox) -> None:
    put = outbox.enqueue("user.created", {"name": "Zoë", "tags": [], "big": 2**60})
    fetched = outbox.fetch_next()
    assert fetched == put
    assert fetched.payload == {"name": "Zoë", "tags": [], "big": 2**60}
    assert (fetched.created_at, fetched.attempts, fetched.processed_at) == (utc(START), 0, None)


def test_messages_come_oldest_first_and_only_of_the_topics_asked_for(outbox: Outbox) -> None:
    ids = [outbox.enqueue(topic, {}).id for topic in ("a", "b", "a", "c")]
    assert ids == sorted(set(ids))
    assert [message.id for message in outbox.fetch_many(10, ["a", "c"])] == [ids[0], ids[2], ids[3]]
    assert [message.id for message in outbox.fetch_many(10)] == [ids[1]]
    assert outbox.fetch_many(10, []) == []


def test_a_fetch_takes_no_more_than_its_limit(outbox: Outbox) -> None:
    ids = [outbox.enqueue(topic, {}).id for topic in "abcde"]
    assert [message.id for message in outbox.fetch_many(2)] == ids[:2]
    assert [message.id for message in outbox.fetch_many(2)] == ids[2:4]


def test_a_topic_is_one_fetchers_until_its_messages_are_marked(outbox: Outbox, clock: MovableClock) -> None:
    first, second, third = (outbox.enqueue("a", {}).id for _ in range(3))
    other = outbox.enqueue("b", {}).id
    assert [message.id for message in outbox.fetch_many(1)] == [first]
    assert [message.id for message in outbox.fetch_many(10)] == [other]
    outbox.mark_processed(first)
    assert [message.id for message in outbox.fetch_many(1)] == [second]
    outbox.mark_failed(second)
    assert [message.id for message in outbox.fetch_many(1)] == [third]
    clock.advance(2)
    assert [message.id for message in outbox.fetch_many(1)] == [second]


def test_topics_that_others_have_hold_up_no_other_topic(outbox: Outbox) -> None:
    heads = [outbox.enqueue(topic, {}).id for topic in "aaaccc"]
    last = outbox.enqueue("b", {}).id
    assert [message.id for message in outbox.fetch_many(1)] == [heads[0]]
    assert [message.id for message in outbox.fetch_many(1)] == [heads[3]]
    assert [message.id for message in outbox.fetch_many(1)] == [last]
    assert outbox.fetch_next() is None


def test_a_fetched_message_is_nobody_elses_for_a_minute(outbox: Outbox, clock: MovableClock) -> None:
    message = outbox.enqueue("a", {})
    assert outbox.fetch_next() is not None
    clock.advance(59)
    assert outbox.fetch_next() is None
    clock.advance(1)
    assert outbox.fetch_next() == message


def test_a_processed_message_is_never_fetched_again(outbox: Outbox, clock: MovableClock) -> None:
    first, second = outbox.enqueue("a", {}), outbox.enqueue("a", {})
    clock.advance(5)
    outbox.mark_processed(first.id, second.id)
    clock.advance(5)
    outbox.mark_processed(first.id, 999)
    clock.advance(10_000)
    assert outbox.fetch_next() is None
    processed = outbox.get(first.id)
    assert processed is not None
    assert processed.processed_at == utc(START + 5)


def test_a_processed_message_does_not_come_back_by_a_late_failure_or_release(
    outbox: Outbox, clock: MovableClock
) -> None:
    message = outbox.enqueue("a", {})
    outbox.mark_processed(message.id)
    outbox.mark_failed(message.id)
    outbox.release(message.id)
    clock.advance(10_000)
    assert outbox.fetch_next() is None


def test_a_failed_message_lets_the_others_go_first_for_longer_each_time(outbox: Outbox, clock: MovableClock) -> None:
    bad, good = outbox.enqueue("a", {}), outbox.enqueue("a", {})
    outbox.mark_failed(bad.id)
    assert [message.id for message in outbox.fetch_many(10)] == [good.id]
    outbox.mark_processed(good.id)
    for attempts, pause in ((1, 2), (2, 4), (3, 8)):
        clock.advance(pause - 0.5)
        assert outbox.fetch_next() is None
        clock.advance(0.5)
        again = outbox.fetch_next()
        assert again is not None
        assert again.attempts == attempts
        outbox.mark_failed(bad.id)
    for _ in range(100):
        outbox.mark_failed(bad.id)
    clock.advance(3600)
    assert outbox.fetch_next() is not None


def test_a_released_message_is_pending_at_once_and_charged_nothing(outbox: Outbox) -> None:
    message = outbox.enqueue("a", {})
    outbox.fetch_next()
    outbox.release(message.id)
    assert outbox.fetch_next() == message


def test_marking_what_is_not_there_does_nothing(outbox: Outbox) -> None:
    outbox.mark_processed()
    outbox.mark_processed(77)
    outbox.mark_failed(77)
    outbox.release(77)
    assert outbox.get(77) is None


@pytest.mark.parametrize("topic", ["", "a\nb", "x" * 256, None])
def test_a_bad_topic_is_refused_and_nothing_is_stored(outbox: Outbox, topic: str) -> None:
    with pytest.raises(InvalidJob, match="topic"):
        outbox.enqueue(topic, {})
    assert outbox.fetch_next() is None


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": object()}, {"x": "\ud800"}, ["list"]])
def test_a_payload_that_json_cannot_hold_is_refused_at_once(outbox: Outbox, payload: dict[str, object]) -> None:
    with pytest.raises(InvalidJob, match="payload"):
        outbox.enqueue("a", payload)
    assert outbox.fetch_next() is None


def test_changing_a_fetched_payload_changes_no_stored_one(outbox: Outbox) -> None:
    given: dict[str, list[int]] = {"x": [1]}
    message = outbox.enqueue("a", given)
    given["x"].append(2)
    message.payload["x"].append(3)
    fetched = outbox.fetch_next()
    assert fetched is not None
    fetched.payload["x"].append(4)
    stored = outbox.get(message.id)
    assert stored is not None
    assert stored.payload == {"x": [1]}


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_fetch_each_message_once_and_each_topic_in_order(outbox: Outbox) -> None:
    ids = {topic: [outbox.enqueue(topic, {}).id for _ in range(20)] for topic in "abc"}
    marked: list[OutboxMessage] = []

    def relay() -> None:
        while len(marked) < 60:
            messages = outbox.fetch_many(7)
            marked.extend(messages)
            outbox.mark_processed(*(message.id for message in messages))

    in_threads(4, relay)
    assert {topic: [message.id for message in marked if message.topic == topic] for topic in "abc"} == ids


def test_threads_put_in_every_message(outbox: Outbox) -> None:
    def put() -> None:
        for _ in range(10):
            outbox.enqueue("a", {})

    in_threads(4, put)
    assert len({message.id for message in outbox.fetch_many(100)}) == 40


def test_a_row_broken_by_hand_keeps_no_other_from_moving(
    engine: Engine, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = OutboxStore(sessionmaker(engine), clock=clock)
    broken, good = outbox.enqueue("a", {}), outbox.enqueue("a", {})
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE svcjobs_outbox SET payload = 'no json' WHERE id = {broken.id}"))
    assert [message.id for message in outbox.fetch_many(10)] == [good.id]
    assert f"outbox message {broken.id} can't be read" in caplog.text
    with engine.begin() as connection:
        assert connection.execute(text("SELECT max(attempts) FROM svcjobs_outbox")).scalar() == 1


def test_what_was_processed_long_ago_can_be_removed(outbox: Outbox, clock: MovableClock) -> None:
    old, older, new, pending = (outbox.enqueue(topic, {}) for topic in "abcd")
    outbox.mark_processed(old.id, older.id)
    clock.advance(100)
    outbox.mark_processed(new.id)
    assert [outbox.purge_processed(100, limit=1) for _ in range(3)] == [1, 1, 0]
    assert [bool(outbox.get(message.id)) for message in (old, older, new, pending)] == [False, False, True, True]


def test_the_backlog_counts_what_is_pending_by_topic(outbox: Outbox, clock: MovableClock) -> None:
    assert outbox.backlog() == []
    first, second = outbox.enqueue("b", {}), outbox.enqueue("b", {})
    clock.advance(10)
    third = outbox.enqueue("a", {})
    outbox.mark_failed(second.id)
    outbox.fetch_many(10)  # what is claimed is pending still
    assert outbox.backlog() == [TopicBacklog("a", 1, 0, third.created_at), TopicBacklog("b", 2, 1, first.created_at)]
    outbox.mark_processed(first.id)
    assert outbox.backlog(["b"]) == [TopicBacklog("b", 1, 1, second.created_at)]


def test_large_messages_are_fetched_in_parts_and_in_order(engine: Engine) -> None:
    outbox = OutboxStore(sessionmaker(engine))
    ids = [outbox.enqueue("a", {"text": "x" * (6 << 20)}).id for _ in range(3)]
    small = outbox.enqueue("a", {}).id
    assert [message.id for message in outbox.fetch_many(10)] == ids[:2]
    outbox.mark_processed(*ids[:2])
    assert [message.id for message in outbox.fetch_many(10)] == [ids[2], small]


def test_topics_are_told_apart_by_each_character(outbox: Outbox) -> None:
    topics = ["a", "A", "a ", "ä"]
    for topic in topics:
        outbox.enqueue(topic, {})
    for topic in topics:
        assert [message.topic for message in outbox.fetch_many(10, [topic])] == [topic]


def test_both_stores_satisfy_the_protocol(outbox: Outbox) -> None:
    assert isinstance(outbox, Outbox)
