"""Messages that are equal and have no ids, as the bridge stores them: each once, and none taken for another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.bridge.broker import Delivery
from svcjobs_celery_compat.bridge.identity import identify
from svcjobs_celery_compat.bridge.store import Store
from svcjobs_celery_compat.transport.wire import Message


@pytest.fixture
def store(redis_client: redis.Redis, prefix: str) -> Iterator[Store]:
    with closing(Store(redis_client, prefix, ["celery"])) as store:
        yield store


@pytest.fixture
def queue(store: Store) -> RedisJobQueue:
    return store.queue("celery")


def message(body: bytes = b"{}", **headers: object) -> Message:
    return {"body": body, "headers": headers, "properties": {}, "content-type": "application/json"}


def deliveries(count: int, *, is_fresh: bool = True) -> list[Delivery]:
    return [Delivery("celery", message(), 0, is_fresh, number) for number in range(count)]


def move(store: Store, batch: list[Delivery]) -> list[bool]:
    """Store them, and forget them as after their ack; whether each is new."""
    stored = store.put(batch)
    store.forget(stored)
    return [one.is_new for one in stored]


def test_each_is_stored_while_equal_ones_of_earlier_batches_wait(store: Store, queue: RedisJobQueue) -> None:
    for _ in range(3):
        assert move(store, deliveries(4)) == [True] * 4
    assert queue.stats().ready == 12


def test_a_batch_whose_storing_nobody_heard_of_is_stored_once(store: Store, queue: RedisJobQueue) -> None:
    move(store, deliveries(2))
    batch = deliveries(3)
    store.put(batch)  # and the server went away
    assert move(store, batch) == [False] * 3
    assert queue.stats().ready == 5


def test_after_a_kill_those_that_were_stored_are_known_and_the_others_are_not(
    store: Store, queue: RedisJobQueue
) -> None:
    move(store, deliveries(2))  # acked, their jobs wait
    store.put(deliveries(3))  # not acked: the bridge was killed
    assert sorted(move(store, deliveries(5, is_fresh=False))) == [False] * 3 + [True] * 2
    assert queue.stats().ready == 7


def test_a_retry_of_a_task_is_another_message() -> None:
    first, again = (identify(message(id="a", task="add", retries=retries)) for retries in (0, 1))
    assert first.is_own
    assert first != again
    assert identify(message(id="a", task="add", retries=0)) == first
    assert identify(message(b"[]", id="a", task="add", retries=0)) != first
