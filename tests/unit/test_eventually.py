"""Waiting returns what came true, and says what it saw when nothing did."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.eventually import PATIENCE_SECONDS, eventually, eventually_async


def test_it_returns_the_first_true_value() -> None:
    values = iter([0, "", None, "there"])
    assert eventually(lambda: next(values)) == "there"


def test_a_failed_assertion_counts_as_not_yet() -> None:
    tries: list[int] = []

    def predicate() -> bool:
        tries.append(1)
        assert len(tries) == 3
        return True

    assert eventually(predicate)


def test_any_other_error_is_raised_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)


def test_it_gives_up_and_says_what_it_saw() -> None:
    started_at = time.monotonic()
    with pytest.raises(AssertionError, match=r"^the job's end didn't come true within 0.05 s; the last value: \[\]$"):
        eventually(list, timeout=0.05, message="the job's end")
    assert 0.05 <= time.monotonic() - started_at < PATIENCE_SECONDS, "its own time counts"


def test_it_gives_up_with_the_last_failed_assertion() -> None:
    def predicate() -> bool:
        raise AssertionError("two left")

    with pytest.raises(AssertionError, match="the last failed assertion: two left"):
        eventually(predicate, timeout=0.02)


async def test_the_loop_runs_on_meanwhile() -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, done.set)
    assert await eventually_async(done.is_set)
    with pytest.raises(AssertionError, match="the end"):
        await eventually_async(lambda: False, timeout=0.02, message="the end")
