"""What Celery began the facade goes on with, and the other way round."""

from __future__ import annotations

import pytest

from tests.compat.results.conftest import MakeSides
from tests.compat.results.sides import Side

pytestmark = [  # both are Celery's
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


def member(side: Side, number: int, size: int) -> object:
    chord = dict(side.body("body-id"), chord_size=size)
    return side.request(id=f"m{number}", group="g1", group_index=number, chord=chord, delivery_info={})


@pytest.fixture(params=["celery first", "facade first"])
def writer_and_reader(request: pytest.FixtureRequest, sides: MakeSides) -> tuple[Side, Side]:
    pair = sides(same=True, result_extended=True)
    return pair if request.param == "celery first" else pair[::-1]


def test_a_result_is_read_by_the_other(writer_and_reader: tuple[Side, Side]) -> None:
    writer, reader = writer_and_reader
    request = writer.request(id="t", task="proj.add", args=[1], kwargs={}, hostname="w1", retries=1, delivery_info={})
    request.children.append(writer.app.AsyncResult("kid"))
    writer.backend.mark_as_done("t", {"x": 1}, request=request)

    result = reader.app.AsyncResult("t")

    assert result.get(timeout=5) == {"x": 1}
    assert (result.state, result.name, result.args, result.worker, result.retries) == (
        "SUCCESS",
        "proj.add",
        [1],
        "w1",
        1,
    )
    assert [child.id for child in result.children] == ["kid"]
    assert result.date_done is not None


@pytest.mark.parametrize("name", ["MaxRetriesExceededError", "TaskRevokedError", "ChordError"])
def test_an_exception_of_the_framework_is_that_of_the_reader(writer_and_reader: tuple[Side, Side], name: str) -> None:
    writer, reader = writer_and_reader
    writer.backend.mark_as_failure("t", getattr(writer.module("exceptions"), name)("why"), traceback="tb")

    with pytest.raises(getattr(reader.module("exceptions"), name), match="why"):
        reader.app.AsyncResult("t").get(timeout=5)


def test_a_waiting_reader_is_told(writer_and_reader: tuple[Side, Side]) -> None:
    writer, reader = writer_and_reader
    result = reader.app.AsyncResult("t")
    stored = []

    def store() -> None:
        if not stored:
            stored.append(writer.backend.mark_as_done("t", 42))

    assert result.get(timeout=10, on_interval=store) == 42


def test_a_group_is_restored_by_the_other(writer_and_reader: tuple[Side, Side]) -> None:
    writer, reader = writer_and_reader
    app = writer.app
    app.GroupResult("outer", [app.GroupResult("inner", [app.AsyncResult("a")]), app.AsyncResult("b")]).save()
    for task_id, value in (("a", 1), ("b", 2)):
        writer.backend.mark_as_done(task_id, value)

    group = reader.app.GroupResult.restore("outer")

    assert isinstance(group[0], reader.module("result").GroupResult)
    assert group.get(timeout=5) == [[1], 2]


@pytest.mark.scenario(28)
def test_a_chord_that_one_began_is_ended_by_the_other(writer_and_reader: tuple[Side, Side]) -> None:
    first, last = writer_and_reader
    first.backend.set_chord_size("g1", 3)
    first.backend.mark_as_done("m1", "one", request=member(first, 1, 3))
    last.backend.mark_as_done("m0", "zero", request=member(last, 0, 3))
    last.backend.mark_as_done("m2", "two", request=member(last, 2, 3))
    first.backend.mark_as_done("m1", "late copy", request=member(first, 1, 3))

    assert first.sent == []
    assert [(name, args) for name, args, _ in last.sent] == [("body", (["zero", "one", "two"],))]
    assert last.client.get("celery-taskset-meta-g1.c") == b"done"


@pytest.mark.scenario(28)
def test_the_claim_of_the_other_is_respected(writer_and_reader: tuple[Side, Side]) -> None:
    first, last = writer_and_reader
    first.backend.set_chord_size("g1", 1)
    last.client.set("celery-taskset-meta-g1.c", "another's claim", ex=60)

    last.backend.mark_as_done("m0", 0, request=member(last, 0, 1))

    assert last.sent == []
