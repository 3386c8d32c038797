"""A set that forgets: by number, by age, and never below its least number."""

from __future__ import annotations

import pytest

from svcjobs_celery_compat.utils.collections import LimitedSet


def test_the_oldest_go_when_there_are_too_many() -> None:
    items = LimitedSet(maxlen=3)
    for number in range(10):
        items.add(number, now=float(number))
    assert list(items) == [7, 8, 9]
    items.add(7, now=10.0)  # made new again: it is the last to go
    items.add(11, now=11.0)
    assert list(items) == [9, 7, 11]


def test_what_was_added_with_an_earlier_time_goes_first() -> None:
    items = LimitedSet(maxlen=2, data={"late": 30.0, "early": 10.0})
    items.add("between", now=20.0)
    assert list(items) == ["between", "late"]


@pytest.mark.parametrize(("now", "left"), [(10.5, [0, 1, 2, 3]), (11.0, [1, 2, 3]), (12.5, [2, 3]), (99.0, [2, 3])])
def test_the_old_go_but_for_the_least_number(now: float, left: list[int]) -> None:
    items = LimitedSet(expires=11, minlen=2, data={number: float(number) for number in range(4)})
    items.purge(now)
    assert list(items) == left
    items.discard(left[0])
    items.purge(now)
    assert list(items) == left[1:]


def test_many_that_were_made_new_leave_nothing_behind() -> None:
    items = LimitedSet(maxlen=100)
    for number in range(5000):
        items.add(number % 50)
    assert len(items) == 50
    assert len(items._heap) < 60
    while items:
        items.pop()
    assert items.pop("none") == "none"
