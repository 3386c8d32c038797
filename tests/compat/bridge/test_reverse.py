"""`svcjobs bridge --reverse`: what waits in svcjobs goes back to the old broker, and can come again."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from queue import Empty
from typing import Any

import pytest

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.bridge.reverse import BATCH
from tests.compat.bridge.brokers import OldBroker
from tests.compat.bridge.conftest import StartBridge
from tests.compat.bridge.traffic import drained, send
from tests.eventually import eventually

MESSAGES = 6000 if os.environ.get("SVCJOBS_FULL") else 400
KILLS = 3


def received(old: OldBroker) -> list[Any]:
    """All messages of the old broker, as a consumer of kombu gets them."""
    found = []
    with old.connect() as connection:
        queue = connection.SimpleQueue(old.queue)
        try:
            while True:
                message = queue.get(timeout=0.5)
                message.ack()
                found.append(message)
        except Empty:
            queue.close()
    return found


def test_a_message_comes_back_as_it_was(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    eta = datetime.now(UTC) + timedelta(hours=2)
    send(old, 1, priority=3, headers={"x": ["é", 1.5]})
    send(old, 1, eta=eta)
    before = {message.headers["id"]: message for message in received(old)}
    send(old, 1, priority=3, headers={"x": ["é", 1.5]})
    send(old, 1, eta=eta)
    drained(start_bridge("--drain", "--json"))
    (counts,) = drained(start_bridge("--drain", "--json", "--reverse"))["queues"]
    assert (counts["moved"], counts["waiting"]) == (2, 0)
    after = received(old)
    assert len(after) == len(before) == 2
    for was, now in zip(sorted(before.values(), key=is_delayed), sorted(after, key=is_delayed), strict=True):
        assert now.body == was.body
        assert now.content_type == was.content_type
        assert now.properties.get("priority") == was.properties.get("priority")
        assert {**now.headers, "id": 0, "root_id": 0} == {**was.headers, "id": 0, "root_id": 0}


def is_delayed(message: Any) -> bool:
    return message.headers["eta"] is not None


def test_there_and_back_and_there_again_nothing_is_taken_for_known(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    ids = send(old, 50)
    for _ in range(2):
        drained(start_bridge("--drain", "--json"))
        assert moved.stats().ready == 50
        drained(start_bridge("--drain", "--json", "--reverse"))
        assert moved.stats().ready == 0
    assert Counter(message.headers["id"] for message in received(old)) == Counter(ids)


@pytest.mark.timeout(180)
def test_kills_on_the_way_back_lose_nothing(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    ids = send(old, MESSAGES)
    drained(start_bridge("--drain", "--json"))
    for kill in range(KILLS):
        bridge, left = start_bridge("--reverse"), MESSAGES - MESSAGES * (kill + 1) // 8
        eventually(lambda left=left: moved.stats().ready <= left, timeout=30)
        bridge.kill()
        bridge.wait()
    drained(start_bridge("--drain", "--json", "--reverse"))
    runs = Counter(message.headers["id"] for message in received(old))
    assert set(runs) == ids
    # RabbitMQ can't tell that it has a message already
    assert sum(runs.values()) - len(ids) <= (0 if old.url.startswith("redis") else KILLS * BATCH)


def test_what_a_worker_holds_is_waited_for(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    send(old, 1)
    drained(start_bridge("--drain", "--json"))
    job = moved.reserve_next()
    assert job is not None
    bridge = start_bridge("--drain", "--json", "--reverse", "--loglevel", "info")
    assert bridge.stderr is not None
    eventually(lambda: "held by workers: stop them" in bridge.stderr.readline(), timeout=20)
    moved.ack(job)
    assert drained(bridge)["queues"][0]["moved"] == 0


def test_a_native_job_isnt_for_the_old_broker(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    send(old, 1)
    drained(start_bridge("--drain", "--json"))
    moved.enqueue("native", {})
    _, err = start_bridge("--drain", "--reverse").communicate(timeout=20)
    assert "is no message of kombu" in err
