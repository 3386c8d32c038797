"""While a test marked ``alone`` runs, no other test of the same run does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
markers = alone
"""
TESTS = """
import pathlib, time
import pytest

def stay(name, seconds):
    began = time.monotonic()
    time.sleep(seconds)
    with (pathlib.Path(__file__).parent / "stays").open("a") as stays:
        stays.write(f"{name} {began} {time.monotonic()}\\n")

@pytest.mark.parametrize("number", range(12))
def test_with_others(number):
    stay("together", 0.05)

@pytest.mark.alone
@pytest.mark.parametrize("number", range(2))
def test_by_itself(number):
    stay("alone", 0.2)
"""
FILES = 4


def test_nothing_goes_on_beside_it_and_other_tests_run_side_by_side(tmp_path: Path) -> None:
    for number in range(FILES):
        (tmp_path / f"test_{number}.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.alone", "-n", "3", "--dist", "loadfile",
         "-c", str(tmp_path / "pytest.ini"), "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    stays = [line.split() for line in (tmp_path / "stays").read_text().splitlines()]
    spans = [(name, float(began), float(ended)) for name, began, ended in stays]
    assert len(spans) == FILES * 14
    overlaps = {
        (name, other)
        for name, began, ended in spans
        for other, other_began, other_ended in spans
        if (began, ended) != (other_began, other_ended) and began < other_ended and other_began < ended
    }
    assert overlaps == {("together", "together")}
