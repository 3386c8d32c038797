"""A state takes events of other kinds, as their handlers say, and as Celery's does."""

from __future__ import annotations

from typing import Any

import celery.events.state
import pytest

from svcjobs_celery_compat.events.state import State

SEEN = {"hostname": "w@here", "timestamp": 1.0, "local_received": 1.0, "clock": 1, "pid": 1, "utcoffset": 0}
KINDS = [State, celery.events.state.State]


@pytest.mark.parametrize("kind", KINDS, ids=["ours", "Celery's"])
def test_an_event_of_another_kind_goes_to_its_handler(kind: Any) -> None:
    state, told = kind(), list[Any]()
    state.handlers["order"] = lambda subject, event: told.append((subject, event["total"])) or "noted"

    assert state.event({**SEEN, "type": "order-paid", "total": 7}) == ("noted", "paid")
    assert told == [("paid", 7)]
    assert state.event({**SEEN, "type": "parcel-sent"}) is None
    assert state.event_count == 2


@pytest.mark.parametrize("kind", KINDS, ids=["ours", "Celery's"])
def test_a_handler_may_take_the_place_of_the_states_own(kind: Any) -> None:
    state = kind()
    state.handlers["worker"] = lambda subject, event: None

    assert state.event({**SEEN, "type": "worker-online"}) == (None, "online")
    assert not state.workers
