"""What a rehearsal finds out, by programs that execute themselves again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

GOES_ON = "The worker goes on as it is: the one that was to replace it"


@pytest.mark.parametrize(
    ("when_rehearsed", "longest_seconds", "says"),
    [
        ("sys.exit(0)", 60, ["starts: True"]),
        ("sys.exit(3)", 60, [f"{GOES_ON} ended with exit code 3", "starts: False"]),
        ("time.sleep(60)", 1, [f"{GOES_ON} wasn't ready to start after 1 s", "starts: False"]),
    ],
)
def test_a_rehearsal_tells_whether_the_program_would_start(
    tmp_path: Path, when_rehearsed: str, longest_seconds: int, says: list[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
            import logging, os, sys, time
            from svcjobs.rehearsal import Rehearsal

            if Rehearsal.is_this():
                {when_rehearsed}
            logging.basicConfig(format="%(message)s", stream=sys.stdout)
            rehearsal = Rehearsal(longest_seconds={longest_seconds})
            rehearsal.begin()
            pid, status = os.waitpid(-1, 0)
            assert rehearsal.is_in(pid)
            print("starts:", rehearsal.end(os.waitstatus_to_exitcode(status)))
        """)
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines() == says
