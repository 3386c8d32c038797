"""Schedulers beside each other: SCENARIO 32, with nothing but the comparison in the queue to keep them apart."""

from __future__ import annotations

import pytest

from tests.chaos.scene import FULL, Scene
from tests.eventually import eventually


@pytest.mark.alone
@pytest.mark.promise("P8")
@pytest.mark.scenario(32)
def test_s32_three_schedulers_take_each_tick_once_while_they_are_killed(scene: Scene) -> None:
    beats = [scene.fleet.beat() for _ in range(3)]
    scene.worker()

    def ticks() -> list[float]:
        return [event["tick"] for event in scene.events if event.kind == "tick"]

    for number in range(30 if FULL else 3):
        seen = len(ticks())
        eventually(lambda seen=seen: len(ticks()) >= seen + 2, 20)
        beats.pop(0).kill()
        if number % 2:  # two at least are left
            beats += [scene.fleet.beat() for _ in range(2)]
    for beat in beats:
        beat.stop()
    eventually(lambda: scene.queue.stats().in_flight + scene.queue.stats().ready == 0)
    assert max(ticks()) - min(ticks()) < len(ticks()) + 2, "hardly a tick was left out"
    scene.judge()
