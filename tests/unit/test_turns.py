"""A thread that takes turns when it is woken, and others that take them in its place."""

from __future__ import annotations

import threading

import pytest

from svcjobs.turns import Turns
from tests.eventually import eventually


def test_a_sleep_ends_with_a_wake_or_with_its_time() -> None:
    turns = Turns(lambda: None)
    turns.wake()
    turns.wake()
    assert turns.sleep(10)
    assert not turns.sleep(0.01), "two wakes before a turn are one"
    turns.take()
    turns.wake()
    assert turns.sleep(10)


def test_one_thread_at_a_time() -> None:
    inside, go_on = threading.Event(), threading.Event()
    taken: list[str] = []

    def turn() -> None:
        taken.append(threading.current_thread().name)
        inside.set()
        assert go_on.wait(10)

    turns = Turns(turn)
    own = threading.Thread(target=turns.take, name="own")
    own.start()
    assert inside.wait(10)
    assert not turns.take_here()
    asked = threading.Thread(target=turns.between, args=[lambda: taken.append("between")])
    asked.start()
    assert taken == ["own"]
    go_on.set()
    for thread in (own, asked):
        thread.join(10)
    assert taken == ["own", "between"]
    assert turns.take_here()
    assert taken[2:] == [threading.current_thread().name]


def test_a_turn_that_raises_blocks_no_other() -> None:
    failures = [ValueError("bug")]

    def turn() -> None:
        if failures:
            raise failures.pop()

    turns = Turns(turn)
    with pytest.raises(ValueError, match="bug"):
        turns.take_here()
    eventually(turns.take_here)
