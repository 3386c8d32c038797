"""Each scenario of shared/SCENARIOS.md is an acceptance test here: a test bears its number."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
SCENARIOS = set(range(1, 39))


def test_every_scenario_has_a_test() -> None:
    text = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    marked = {int(number) for number in re.findall(r"mark\.scenario\((\d+)\)", text)}
    assert marked == SCENARIOS
