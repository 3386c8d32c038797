"""``make demo`` as a user runs it, on fewer files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from svcjobs.server_program import ServerProgram

ROOT = Path(__file__).resolve().parent.parent.parent


def demo(*arguments: str, **variables: str) -> str:
    """What the demo prints; it has to end well."""
    command = [sys.executable, "-m", "examples.stdlib_index", *arguments]
    environment = os.environ | {"COLUMNS": "120"} | variables
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def row(output: str, name: str) -> int:
    """The figure beside ``name`` in a table."""
    (line,) = (line for line in output.splitlines() if line.startswith(f"│ {name} "))
    return int(line.split("│")[2].replace(",", ""))


def test_the_demo_in_memory_accounts_for_every_job() -> None:
    output = demo("--files", "100", "--driver", "memory")
    assert "0 lost" in output
    assert row(output, "retried") >= 200 // 20  # every twentieth job fails at first
    assert row(output, "ticks of the schedule that ran") >= 1
    assert all(reason in output for reason in ("exhausted", "schema_mismatch", "unknown_job"))


@pytest.mark.scenario(2)
def test_the_demo_on_redis_loses_nothing_when_a_worker_is_killed(server_program: ServerProgram) -> None:
    output = demo("--files", "400", "--driver", "redis", SVCJOBS_TEST_SERVER=str(server_program.path))
    assert "was killed (-9)" in output
    assert "0 lost" in output
    assert row(output, "ticks of the schedule that ran") >= 1, "its workers are started with -B"
    assert row(output, "stale") == 0
