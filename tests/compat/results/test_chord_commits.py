"""A chord's body commits with the outcome of its last member: once, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from svcjobs.effects import SetResult
from svcjobs_celery_compat import outcome
from tests.compat.results.conftest import MakeSides
from tests.compat.results.sides import Side

pytestmark = [  # both are Celery's
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def side(sides: MakeSides) -> Side:
    return sides(same=True)[1]


@contextmanager
def worker(side: Side) -> Iterator[list[Any]]:
    """As in a worker whose queue is on the backend's server: the effects of an outcome that may never commit."""
    settlement = outcome.Outcome(outcome.Home(outcome.server_of(side.backend.client)))
    token = outcome.begin(settlement)
    try:
        with outcome.committing():
            yield settlement.effects
    finally:
        outcome.end(token)


def commit(side: Side, effects: list[Any]) -> None:
    for effect in effects:
        assert isinstance(effect, SetResult)
        milliseconds = None if effect.ttl_seconds is None else max(1, int(effect.ttl_seconds * 1000))
        side.client.set(effect.key, effect.value, px=milliseconds)


def member(side: Side, number: int, size: int, again: bool = False) -> Any:
    chord = dict(side.body("body-id"), chord_size=size)
    info = {"redelivered": again}
    return side.request(id=f"m{number}", group="g1", group_index=number, chord=chord, delivery_info=info)


def test_a_result_is_an_effect(side: Side) -> None:
    with worker(side) as effects:
        side.backend.mark_as_done("t", 1)

    (effect,) = effects
    assert side.client.keys("*") == []
    assert (effect.key, effect.channel, effect.ttl_seconds) == ("celery-task-meta-t", "celery-task-meta-t", 86400)
    assert effect.db == 1


@pytest.mark.scenario(28)
def test_the_last_member_that_dies_before_it_commits_starts_the_body_when_it_runs_again(side: Side) -> None:
    side.backend.set_chord_size("g1", 2)
    for number in (0, 1):
        with worker(side) as effects:
            side.backend.mark_as_done(f"m{number}", number, request=member(side, number, 2))
        if number == 0:
            commit(side, effects)
    died_with = len(side.sent)
    side.sent.clear()  # what it sent was to commit with the outcome, and didn't

    with worker(side) as effects:
        side.backend.mark_as_done("m1", 1, request=member(side, 1, 2))
    commit(side, effects)

    assert died_with == 1
    assert [(name, args) for name, args, _ in side.sent] == [("body", ([0, 1],))]
    assert side.client.get("celery-taskset-meta-g1.c") == b"done"


@pytest.mark.promise("P2")
@pytest.mark.parametrize("lost", [0, 1], ids=["first member", "last member"])
def test_the_body_gets_what_the_run_returned_that_committed(side: Side, lost: int) -> None:
    side.backend.set_chord_size("g1", 2)
    for number in (0, 1):
        with worker(side) as effects:
            side.backend.mark_as_done(f"m{number}", f"run 1 of {number}", request=member(side, number, 2))
        if number == lost:  # the worker died before it committed
            side.sent.clear()
            with worker(side) as effects:
                side.backend.mark_as_done(
                    f"m{number}", f"run 2 of {number}", request=member(side, number, 2, again=True)
                )
        commit(side, effects)

    assert [args for _, args, _ in side.sent] == [([f"run {1 + (number == lost)} of {number}" for number in (0, 1)],)]


@pytest.mark.scenario(28)
def test_late_copies_of_members_start_nothing(side: Side) -> None:
    side.backend.set_chord_size("g1", 2)
    for number in (0, 1, 1, 0):
        with worker(side) as effects:
            side.backend.mark_as_done(f"m{number}", number, request=member(side, number, 2))
        commit(side, effects)

    assert len(side.sent) == 1


@pytest.mark.scenario(28)
def test_another_members_copy_cannot_take_the_claim(side: Side) -> None:
    side.backend.set_chord_size("g1", 2)
    for number in (0, 1):  # the second is the last: it has the claim, and hasn't committed
        with worker(side):
            side.backend.mark_as_done(f"m{number}", number, request=member(side, number, 2))
    side.sent.clear()

    with worker(side):
        side.backend.mark_as_done("m0", 0, request=member(side, 0, 2))

    assert side.sent == []


@pytest.mark.scenario(28)
def test_a_failed_member_fails_the_body_with_its_outcome(side: Side) -> None:
    side.backend.set_chord_size("g1", 1)
    with worker(side) as effects:
        side.backend.mark_as_failure("m0", KeyError("x"), traceback="tb", request=member(side, 0, 1))

    assert side.app.AsyncResult("body-id").state == "PENDING"
    commit(side, effects)
    assert side.app.AsyncResult("body-id").state == "FAILURE"


def test_groups_in_the_header_know_the_last_members_result(side: Side) -> None:
    app = side.app
    inner = app.GroupResult("inner", [app.AsyncResult("a")])
    side.backend.set_chord_size("g1", 2)
    side.backend.apply_chord(("g1", [inner, app.AsyncResult("m1")]), side.body("body-id"))
    side.backend.mark_as_done("a", "a")
    for number in (0, 1):
        with worker(side):
            side.backend.mark_as_done(f"m{number}", number, request=member(side, number, 2))

    assert [args for _, args, _ in side.sent] == [([["a"], 1],)]
