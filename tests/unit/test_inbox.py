"""The inbox stores: one suite over memory and each database."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from svcjobs.clock import MovableClock
from svcjobs.db import inbox_rows
from svcjobs.db.inbox import Inbox, InboxStore, InMemoryInboxStore
from svcjobs.errors import ConfigurationError
from tests.databases import KINDS


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(1_700_000_000)


@pytest.fixture(params=["memory", *KINDS])
def inbox(request: pytest.FixtureRequest, clock: MovableClock, make_engine: Callable[[str], Engine]) -> Inbox:
    if request.param == "memory":
        return InMemoryInboxStore(clock)
    return InboxStore(sessionmaker(make_engine(request.param)), clock=clock)


def test_a_key_is_new_once(inbox: Inbox) -> None:
    assert not inbox.is_marked("email:1")
    assert inbox.mark_if_new("email:1")
    assert inbox.is_marked("email:1")
    assert not inbox.mark_if_new("email:1")
    assert inbox.mark_if_new("email:2")


def test_mark_marks_whether_new_or_not(inbox: Inbox) -> None:
    inbox.mark("email:1")
    inbox.mark("email:1")
    assert inbox.is_marked("email:1")
    assert not inbox.mark_if_new("email:1")


def test_a_mark_lasts_a_day_unless_told_otherwise(inbox: Inbox, clock: MovableClock) -> None:
    inbox.mark("marked")
    inbox.mark_if_new("marked if new")
    inbox.mark_if_new("short", ttl_seconds=10)
    clock.advance(10)
    assert not inbox.is_marked("short")
    clock.advance(86_389)
    assert inbox.is_marked("marked")
    assert inbox.is_marked("marked if new")
    clock.advance(1)
    assert not inbox.is_marked("marked")
    assert not inbox.is_marked("marked if new")


def test_an_expired_key_is_new_again_for_one_caller(inbox: Inbox, clock: MovableClock) -> None:
    inbox.mark_if_new("k", ttl_seconds=10)
    clock.advance(10)
    assert inbox.mark_if_new("k", ttl_seconds=10)
    assert not inbox.mark_if_new("k", ttl_seconds=10)


def test_a_refused_mark_does_not_prolong_the_first(inbox: Inbox, clock: MovableClock) -> None:
    inbox.mark_if_new("k", ttl_seconds=10)
    clock.advance(5)
    assert not inbox.mark_if_new("k", ttl_seconds=10)
    clock.advance(5)
    assert not inbox.is_marked("k")


def test_mark_prolongs(inbox: Inbox, clock: MovableClock) -> None:
    inbox.mark("k", ttl_seconds=10)
    clock.advance(5)
    inbox.mark("k", ttl_seconds=10)
    clock.advance(5)
    assert inbox.is_marked("k")


def test_purge_removes_the_expired_only(inbox: Inbox, clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_rows, "PURGED_AT_ONCE", 2)
    for key in ("a", "b", "d", "e", "f"):
        inbox.mark(key, ttl_seconds=10)
    inbox.mark("c", ttl_seconds=20)
    clock.advance(10)
    assert inbox.purge_expired() == 5
    assert inbox.purge_expired() == 0
    assert inbox.is_marked("c")


@pytest.mark.parametrize("other", ["K", "k ", "k\0", "ķ"])
def test_keys_are_told_apart_by_each_character(inbox: Inbox, other: str) -> None:
    inbox.mark("k")
    assert inbox.mark_if_new(other)


def test_long_keys_are_told_apart(inbox: Inbox) -> None:
    inbox.mark("x" * 1000 + "a")
    assert inbox.is_marked("x" * 1000 + "a")
    assert inbox.mark_if_new("x" * 1000 + "b")


@pytest.mark.parametrize("ttl_seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_to_live_that_is_none_is_refused(inbox: Inbox, ttl_seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="ttl_seconds"):
        inbox.mark_if_new("k", ttl_seconds)
    with pytest.raises(ConfigurationError, match="ttl_seconds"):
        inbox.mark("k", ttl_seconds)
    assert not inbox.is_marked("k")


def test_of_many_threads_one_gets_the_mark(inbox: Inbox, clock: MovableClock) -> None:
    inbox.mark("round 0", ttl_seconds=10)
    clock.advance(10)
    for key in ("round 0", "round 1", "round 2"):  # the first is an expired one
        barrier = threading.Barrier(8)
        won: list[bool] = []

        def race(key: str = key, barrier: threading.Barrier = barrier, won: list[bool] = won) -> None:
            barrier.wait()
            won.append(inbox.mark_if_new(key))

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False] * 7 + [True]


def test_both_stores_satisfy_the_protocol(inbox: Inbox) -> None:
    assert isinstance(inbox, Inbox)
