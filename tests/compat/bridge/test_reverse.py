"""`svcjobs bridge --reverse`: what waits in svcjobs goes back to the old broker, and can come again."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.compat.bridge.brokers import OldBroker
from tests.compat.bridge.conftest import StartBridge
from tests.compat.bridge.traffic import drained, received, send
from tests.eventually import eventually

MESSAGES, KILLS = (6000, 5) if os.environ.get("SVCJOBS_FULL") else (400, 3)


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
def test_kills_on_the_way_back_lose_and_double_nothing(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    ids = send(old, MESSAGES)
    drained(start_bridge("--drain", "--json"))
    for kill in range(KILLS):
        bridge, left = start_bridge("--reverse"), MESSAGES - MESSAGES * (kill + 1) // 8
        eventually(lambda left=left: moved.stats().ready <= left, timeout=30)
        bridge.kill()
        bridge.wait()
    drained(start_bridge("--drain", "--json", "--reverse"))
    assert Counter(message.headers["id"] for message in received(old)) == Counter(ids)


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
    _, err = start_bridge("--drain", "--reverse").communicate(timeout=60)
    assert "is no message of kombu" in err


@pytest.mark.timeout(120)
def test_several_bridges_at_once_double_nothing(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    ids = send(old, 1000)
    drained(start_bridge("--drain", "--json"))
    for bridge in [start_bridge("--drain", "--json", "--reverse") for _ in range(3)]:
        drained(bridge)
    assert Counter(message.headers["id"] for message in received(old)) == Counter(ids)
    assert moved.stats().ready == 0


def test_a_message_with_a_time_to_live_goes_back_and_keeps_it(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    def sent() -> None:
        send(old, 2, expires=600)
        send(old, 1)

    def times_to_live() -> list[str]:
        return sorted(str(message.properties.get("expiration")) for message in received(old))

    sent()
    before = times_to_live()
    sent()
    drained(start_bridge("--drain", "--json"))
    drained(start_bridge("--drain", "--json", "--reverse"))
    assert times_to_live() == before
    assert before[:2] == ["600000"] * 2
