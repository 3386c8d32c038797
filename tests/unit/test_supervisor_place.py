"""When a dead child is replaced."""

from __future__ import annotations

import pytest

from svcjobs.place import Member, Place, pause_seconds


def place(*, fetched: bool = True) -> Place:
    return Place(lambda _: 0, Member(1, 0, 0.0, fetched=fetched))


def test_pauses_grow_to_half_a_minute_and_begin_with_none() -> None:
    assert [pause_seconds(deaths) for deaths in range(10)] == [0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("fetched", "expected"), [(False, [0, 0.5, 1, 2, 4]), (True, [0, 0.5, 1, 1, 1])], ids=["at start", "at work"]
)
def test_children_that_die_young_make_the_next_wait_longer(fetched: bool, expected: list[float]) -> None:
    here = Place(lambda _: 0)
    pauses = []
    for _ in expected:
        here.member = Member(1, 0, 100.0, fetched=fetched)
        here.lost(1, -9, 101.0)
        pauses.append(here.fill_at - 101.0)
    assert pauses == expected


def test_one_that_lived_for_a_while_is_replaced_at_once() -> None:
    here = place()
    here.young_deaths = 7
    here.lost(1, -9, 5.0)
    assert (here.young_deaths, here.fill_at) == (0, 5.0)


def test_one_that_never_fetched_died_young_however_old() -> None:
    here = place(fetched=False)
    here.lost(1, -9, 500.0)
    assert here.young_deaths == 1


def test_one_that_ended_well_has_done_its_share() -> None:
    here = place(fetched=False)
    here.lost(1, 0, 0.05)
    assert (here.young_deaths, here.fill_at) == (0, 0.2)


def test_a_successor_takes_over_from_a_dead_member() -> None:
    here = place()
    here.successor = Member(2, 1, 0.0)
    assert here.lost(1, -9, 1.0) == Member(1, 0, 0.0, fetched=True)
    assert here.member == Member(2, 1, 0.0)
    assert here.successor is None


def test_a_dead_successor_leaves_the_member() -> None:
    here = place()
    here.successor = Member(2, 1, 0.0)
    here.lost(2, 1, 1.0)
    assert here.member == Member(1, 0, 0.0, fetched=True)
    assert (here.successor, here.young_deaths) == (None, 1)


def test_another_process_is_none_of_it() -> None:
    here = place()
    assert here.lost(9, -9, 1.0) is None
    assert here.member is not None
