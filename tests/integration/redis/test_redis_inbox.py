"""The inbox in Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis

from svcjobs.db.inbox import Inbox, RedisInboxStore
from svcjobs.errors import ConfigurationError, QueueUnavailable
from tests.eventually import eventually
from tests.servers import RedisServer


@pytest.fixture
def inbox(redis_client: redis.Redis, prefix: str) -> Iterator[RedisInboxStore]:
    inbox = RedisInboxStore(redis_client, prefix=prefix)
    yield inbox
    inbox.close()


def test_a_key_is_new_once_until_its_time_is_up(inbox: RedisInboxStore) -> None:
    assert isinstance(inbox, Inbox)
    assert inbox.mark_if_new("k", ttl_seconds=1.5)
    assert not inbox.mark_if_new("k")
    assert not inbox.is_marked("K")
    eventually(lambda: not inbox.is_marked("k"))
    assert inbox.mark_if_new("k")
    assert inbox.purge_expired() == 0


def test_mark_prolongs(inbox: RedisInboxStore, redis_client: redis.Redis, prefix: str) -> None:
    inbox.mark_if_new("k", ttl_seconds=10)
    inbox.mark("k")
    assert 80_000 < redis_client.ttl(f"{prefix}:k") <= 86_400


def test_of_many_threads_one_gets_the_mark(inbox: RedisInboxStore) -> None:
    barrier, won = threading.Barrier(8), list[bool]()

    def race() -> None:
        barrier.wait()
        won.append(inbox.mark_if_new("k"))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_a_lost_reply_does_not_lose_the_mark(inbox: RedisInboxStore, monkeypatch: pytest.MonkeyPatch) -> None:
    send, lost = inbox._client.set, list[str]()

    def set_and_lose_the_first_reply(name: str, *args: object, **options: object) -> object:
        answer = send(name, *args, **options)
        if not lost:
            lost.append(name)
            raise redis.ConnectionError("lost")
        return answer

    monkeypatch.setattr(inbox._client, "set", set_and_lose_the_first_reply)
    assert inbox.mark_if_new("k")
    assert not inbox.mark_if_new("k")


@pytest.mark.parametrize("ttl_seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_to_live_that_is_none_is_refused(inbox: RedisInboxStore, ttl_seconds: float) -> None:
    for mark in (inbox.mark, inbox.mark_if_new):
        with pytest.raises(ConfigurationError, match="ttl_seconds"):
            mark("k", ttl_seconds)
    assert not inbox.is_marked("k")


def test_a_server_that_is_away_is_told_so(own_server: RedisServer) -> None:
    inbox = RedisInboxStore(own_server.client())
    own_server.kill()
    with pytest.raises(QueueUnavailable):
        inbox.mark_if_new("k")
    inbox.close()
