"""Where canvases differ from Celery's on purpose: docs/adr/019."""

from __future__ import annotations

import json
from typing import Any

import pytest

from svcjobs_celery_compat.canvas import StampingVisitor, _chain, chain, chord, group, signature
from tests.compat.canvas.program import Program, Wire


def ran(program: Program, canvas: Any, *args: Any) -> tuple[list[Any], Any]:
    """The calls that a canvas makes, and the value of its result."""
    with Wire(program) as wire:
        result = canvas.apply_async(args)
        wire.work()
    return [(name, *call) for name, call, _ in wire.ran], wire.values_of(result.as_tuple())["value"]


def values(node: Any) -> Any:
    return [child["value"] for child in node]


def test_a_group_in_a_group_keeps_the_order(program: Program) -> None:
    tag = program.app.tasks["tag"]
    _, value = ran(program, group([group([tag.s(1), tag.s(2)]), tag.s(3)]))
    assert values(value) == [["tag", 1], ["tag", 2], ["tag", 3]]


def test_what_follows_a_chord_with_a_group_for_its_body_is_called_once(program: Program) -> None:
    tag = program.app.tasks["tag"]
    for canvas in (
        chord([tag.si(1)], group([tag.si(2), tag.si(3)])) | chain(tag.s(), tag.s()),
        _chain(chord([tag.si(1)], group([tag.si(2), tag.si(3)])), tag.s(), tag.s()),
    ):
        _, value = ran(program, canvas)
        assert value == ["tag", ["tag", [["tag", 2], ["tag", 3]]]]


def test_links_of_a_chain_in_a_chain_are_called(program: Program) -> None:
    tag = program.app.tasks["tag"]
    inner = _chain(tag.s(1), tag.s(2))
    inner.link(tag.s("linked"))
    calls, _ = ran(program, _chain(inner, tag.s(3)), 0)
    assert ("tag", ["tag", ["tag", 0, 1], 2], "linked") in calls


def test_arguments_reach_a_group_that_a_chain_begins_with(program: Program) -> None:
    tag = program.app.tasks["tag"]
    _, value = ran(program, _chain(group([tag.s(1), tag.s(2)]), tag.s()), 0)
    assert value == ["tag", [["tag", 0, 1], ["tag", 0, 2]]]


def test_a_copy_of_a_chain_keeps_its_arguments(program: Program) -> None:
    tag = program.app.tasks["tag"]
    _, value = ran(program, _chain(tag.s(1), tag.s(2)).clone((0,)))
    assert value == ["tag", ["tag", 0, 1], 2]


def test_the_ids_of_a_frozen_chain_of_groups_are_those_that_run(program: Program) -> None:
    tag = program.app.tasks["tag"]
    canvas = chain(tag.si(0), group([tag.si(1), tag.si(2)]), group([tag.si(3), tag.si(4)]))
    frozen = canvas.freeze().as_tuple()
    with Wire(program) as wire:
        canvas.apply_async()
        wire.work()
    assert "none" not in json.dumps(wire.values_of(frozen))


def test_stamps_without_a_visitor_reach_the_body_of_a_chord(program: Program) -> None:
    tag = program.app.tasks["tag"]
    canvas = chord([tag.s(1)], tag.s(2))
    canvas.stamp(tenant="a")
    assert canvas.body.options["tenant"] == canvas.tasks[0].options["tenant"] == "a"


def test_a_stamp_of_one_signature_is_not_named_in_the_next(program: Program) -> None:
    class ByArgument(StampingVisitor):
        def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
            return {f"stamp-{sig.args[0]}": True}

    tag = program.app.tasks["tag"]
    canvas = group([tag.s(1), tag.s(2)])
    canvas.stamp(ByArgument())
    assert [task.options["stamped_headers"] for task in canvas.tasks] == [["stamp-1"], ["stamp-2"]]


def test_dictionaries_in_a_canvas_can_be_stamped_and_chained(program: Program) -> None:
    tag = program.app.tasks["tag"]
    canvas = group([dict(tag.s(1)), tag.s(2)])
    canvas.stamp(tenant="a")
    assert [task["options"]["tenant"] for task in canvas.tasks] == ["a", "a"]
    again = signature(json.loads(json.dumps(chain(canvas, tag.s()))), app=program.app)
    _, value = ran(program, again)
    assert value == ["tag", [["tag", 1], ["tag", 2]]]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(KeyError, match=r"os\.system"):
        signature({"task": "x", "subtask_type": "os.system"})
