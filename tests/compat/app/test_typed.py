"""Type checkers know the arguments and the result of a task."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from typing import Any, assert_type

from svcjobs_celery_compat import Celery, Task, shared_task
from svcjobs_celery_compat.result import AsyncResult, EagerResult

app = Celery("typed", broker="memory://")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(bind=True, max_retries=3)
def bound(self: Any, x: int) -> str:
    return str(x)


@app.task(name="slow")
async def slow(x: int) -> bytes:
    return bytes(x)


@shared_task
def shared(x: int) -> float:
    return float(x)


class Base(Task[..., Any]):
    table = "jobs"


@app.task(base=Base)
def based(x: int) -> int:
    return x


assert_type(add(1), int)
assert_type(add.delay(1), AsyncResult[int])
assert_type(add.delay(1).get(), int)
assert_type(add.apply_async((1, 2)), AsyncResult[int])
assert_type(add.apply((1, 2)), EagerResult[int])
assert_type(bound.delay(1), AsyncResult[str])
assert_type(slow.delay(1), AsyncResult[bytes])
assert_type(shared.delay(1), AsyncResult[float])
assert_type(based.table, str)


async def awaited() -> bytes:
    return await slow(1)


add.delay("x")  # wrong
add.delay()  # wrong
add("x")  # wrong
bound.delay("x")  # wrong
slow.delay("x")  # wrong
shared.delay("x")  # wrong
"""
WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
ROOT = Path(__file__).parents[3]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "typed.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.scenario(38)
def test_mypy(program: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", str(program)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False).stdout
    lines = [line for line in found.splitlines() if "typed.py" in line and ": error:" in line]
    assert {int(re.findall(r"typed\.py:(\d+)", line)[0]) for line in lines} == WRONG, "\n".join(lines)


@pytest.mark.scenario(38)
def test_pyright(program: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("basedpyright")), "--outputjson", "--level", "error",
        "--pythonpath", sys.executable, str(program),
    ]  # fmt: skip
    found = json.loads(
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False).stdout
    )["generalDiagnostics"]
    assert {each["range"]["start"]["line"] + 1 for each in found} == WRONG, found
