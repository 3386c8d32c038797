"""The facade writes what Celery 5.7 writes: keys, JSON, times to live, messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.results.conftest import MakeSides
from tests.compat.results.sides import Side, run

pytestmark = [  # both are Celery's
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

FIELDS = {
    "id": "t1", "task": "proj.add", "args": [1, "2"], "kwargs": {"a": None}, "hostname": "w1@here", "retries": 2,
    "delivery_info": {"routing_key": "q"}, "parent_id": "p1", "root_id": "r1", "group": "g1",
    "stamped_headers": ["by", "not_there"], "stamps": {"by": ["me"], "undeclared": 1},
}  # fmt: skip


class Odd(Exception):
    """Can't be made again from its arguments, which JSON can't write."""

    def __init__(self, a: object, b: object) -> None:
        super().__init__(a)
        self.b = b


def stores_each_state(side: Side) -> None:
    request = side.request(**FIELDS)
    request.children.append(side.app.AsyncResult("kid", parent=side.app.AsyncResult("t1")))
    backend = side.backend
    backend.mark_as_started("started", pid=1, hostname="w1")
    backend.mark_as_done("done", {"x": [1, 2.5, None, "é"]}, request=request)
    backend.mark_as_failure("failed", KeyError("x", 1), traceback="Traceback:\nKeyError", request=side.request(id="f"))
    backend.mark_as_retry("retried", ValueError("again"), traceback="Traceback:\nValueError", request=request)
    backend.mark_as_revoked("revoked", "terminated", request=request)
    backend.store_result("custom", {"progress": 50}, "PROGRESS")
    backend.store_result("odd", Odd(object, 2), "FAILURE")
    backend.store_result("own", side.module("exceptions").MaxRetriesExceededError("too many"), "FAILURE")
    backend.store_result("result", side.app.GroupResult("g", [side.app.AsyncResult("a")]), "SUCCESS")


def keeps_success(side: Side) -> None:
    side.backend.mark_as_done("t", 1)
    side.backend.mark_as_failure("t", KeyError("late"))


def saves_groups(side: Side) -> Any:
    app = side.app
    inner = app.GroupResult("inner", [app.AsyncResult("a"), app.AsyncResult("b")], parent=app.AsyncResult("p"))
    outer = app.GroupResult("outer", [inner, app.AsyncResult("c")])
    outer.save()
    inner.save()
    restored = app.GroupResult.restore("outer")
    inner.delete()
    return restored.as_tuple()


def forgets(side: Side) -> None:
    side.backend.mark_as_done("t", 1)
    side.app.AsyncResult("t").forget()


@pytest.mark.parametrize("program", [stores_each_state, keeps_success, saves_groups, forgets])
@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"result_extended": True, "result_expires": 100, "result_failure_expires": 500},
        {"result_expires": None, "timezone": "Asia/Tokyo"},
        {"result_backend_transport_options": {"global_keyprefix": "proj"}},
    ],
    ids=["defaults", "extended", "kept", "prefixed"],
)
def test_results(sides: MakeSides, program: Callable[[Side], Any], conf: dict[str, Any]) -> None:
    celery, facade = sides(**conf)
    assert run(facade, program) == run(celery, program)


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "json"])
def test_serialised_and_compressed(sides: MakeSides, serializer: str) -> None:
    conf = {"result_serializer": serializer, "accept_content": [serializer], "result_compression": "gzip"}
    celery, facade = sides(same=True, **conf)
    celery.backend.store_result("c", {"x": "long " * 100}, "SUCCESS")
    facade.backend.store_result("f", {"x": "long " * 100}, "SUCCESS")

    assert facade.app.AsyncResult("c").get(timeout=5) == celery.app.AsyncResult("f").get(timeout=5)
    assert facade.client.strlen("celery-task-meta-c") < 300


def _member(side: Side, number: int, size: int, **fields: Any) -> Any:
    chord = dict(side.body("body", link_error=[side.app.signature("errback")]), chord_size=size)
    return side.request(id=f"m{number}", group="g1", group_index=number, chord=chord, delivery_info={}, **fields)


def counts_half(side: Side) -> None:
    side.backend.set_chord_size("g1", 3)
    side.backend.mark_as_done("m2", "two", request=_member(side, 2, 3))
    side.backend.mark_as_done("m0", {"zero": 0}, request=_member(side, 0, 3))
    side.backend.mark_as_done("m0", {"copy": 0}, request=_member(side, 0, 3))


def counts_all(side: Side) -> None:
    counts_half(side)
    side.backend.mark_as_done("m1", 1, request=_member(side, 1, 3))
    side.backend.mark_as_done("m1", 1, request=_member(side, 1, 3))


def counts_one_more(side: Side) -> None:
    counts_half(side)
    side.backend.add_to_chord("g1", side.app.AsyncResult("m3"))
    side.backend.mark_as_done("m1", 1, request=_member(side, 1, 3))


def fails(side: Side) -> None:
    side.backend.set_chord_size("g1", 2)
    side.backend.mark_as_failure("m0", KeyError("x"), traceback="tb", request=_member(side, 0, 2))
    side.backend.mark_as_done("m1", 1, request=_member(side, 1, 2))
    side.backend.mark_as_done("m1", 1, request=_member(side, 1, 2))


def starts_with_groups(side: Side) -> None:
    app = side.app
    group = app.GroupResult("inner", [app.AsyncResult("a"), app.AsyncResult("b")])
    side.backend.set_chord_size("g1", 2)
    side.backend.apply_chord(("g1", [group, app.AsyncResult("m1")]), side.body("body"))
    side.backend.mark_as_done("a", 1)
    side.backend.mark_as_done("b", 2)
    side.backend.mark_as_done("m0", "not asked for", request=_member(side, 0, 2))
    side.backend.mark_as_done("m1", 3, request=_member(side, 1, 2))


def cannot_send_the_body(side: Side) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ValueError("refused")

    side.app.amqp.__dict__["send_task_message"] = refuse
    side.backend.set_chord_size("g1", 1)
    member = side.request(
        id="m0", group="g1", group_index=0, chord=dict(side.body("body"), chord_size=1), delivery_info={}
    )
    side.backend.mark_as_done("m0", 1, request=member)


@pytest.mark.parametrize(
    "program", [counts_half, counts_all, counts_one_more, fails, starts_with_groups, cannot_send_the_body]
)
@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"result_backend_transport_options": {"result_chord_ordered": False}, "result_chord_expires": 1000},
        {"result_chord_expires": 0, "result_expires": 50},
    ],
    ids=["ordered", "unordered", "kept"],
)
def test_chords(sides: MakeSides, program: Callable[[Side], Any], conf: dict[str, Any]) -> None:
    celery, facade = sides(**conf)
    assert run(facade, program) == run(celery, program)
