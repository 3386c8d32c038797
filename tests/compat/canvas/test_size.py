"""How large the messages of a canvas are."""

from __future__ import annotations

import json

import pytest

from svcjobs_celery_compat.canvas import chain, chord, folded
from tests.compat.canvas.program import Program, Wire


def sizes(program: Program, chords: int) -> list[int]:
    """Bytes of each message that a chain of chords sends until it is done."""
    add, total = program.app.tasks["pack"], program.app.tasks["total"]
    canvas = chain(*[chord([add.si(at, at) for at in range(10)], total.s()) for _ in range(chords)])
    with Wire(program) as wire:
        result = canvas.apply_async()
        wire.work()
    assert result.id in wire.values
    assert len(wire.ran) == 11 * chords
    return [len(json.dumps(message["body"])) for message in wire.messages]


@pytest.mark.scenario(29)
def test_two_hundred_chained_chords_of_ten_take_bytes_linear_in_their_number(program: Program) -> None:
    fifty, all_of_them = sizes(program, 50), sizes(program, 200)
    assert sum(all_of_them) / 200 == pytest.approx(sum(fifty) / 50, rel=0.2)
    assert max(all_of_them) < 64 * 1024


def test_a_long_body_is_sent_in_parts_to_each_header_task(program: Program) -> None:
    tag = program.app.tasks["tag"]
    with Wire(program) as wire:
        result = chord([tag.s(1), tag.s(2)], chain(*[tag.s(at) for at in range(300)])).apply_async()
        wire.work()
    assert max(len(json.dumps(message["body"])) for message in wire.messages) < folded.LIMIT
    assert len(wire.ran) == 302
    assert wire.values[result.id][-1] == 299


def test_a_short_chain_is_sent_as_celery_sends_it(program: Program) -> None:
    tag = program.app.tasks["tag"]
    with Wire(program) as wire:
        chain(*[tag.s(at) for at in range(20)]).apply_async()
    assert [step["task"] for step in wire.messages[0]["body"][2]["chain"]] == ["tag"] * 19


def test_a_part_goes_where_its_first_task_goes_and_has_the_id_of_the_last(program: Program) -> None:
    tag = program.app.tasks["tag"]
    with Wire(program) as wire:
        result = chain(*[tag.s(at).set(queue="slow") for at in range(100)]).apply_async()
    reference = wire.messages[0]["body"][2]["chain"][0]
    assert reference["task"] == "svcjobs.unfold"
    assert reference["options"]["queue"] == "slow"
    assert reference["options"]["task_id"] == result.id


def test_a_part_that_is_gone_says_what_to_do(program: Program) -> None:
    with pytest.raises(LookupError, match="send the chain again"):
        folded.load("unknown", program.app)
