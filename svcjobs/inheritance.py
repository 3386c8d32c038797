"""What a supervisor leaves to the program that its process executes next."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from svcjobs.settings import environment_with, seen_in_environment, take_from_environment

VARIABLE = "SVCJOBS_SUPERVISED"


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The children, the keeper and the pipes, which outlive the program that made them.

    Args:
        descriptors: file descriptors of the pipes.
        keeper: its pid; None while there is none.
        members: pid and slot of each child that serves.
        retiring: pid and slot of each child that is to end, and whether it has been given a time for that.
    """

    descriptors: Sequence[int]
    keeper: int | None
    members: Sequence[tuple[int, int]]
    retiring: Sequence[tuple[int, int, bool]]

    @staticmethod
    def is_there() -> bool:
        """Whether this process has executed its program anew, and what was left to it hasn't been taken yet."""
        return seen_in_environment(VARIABLE).startswith(f"[{os.getpid()},")

    @classmethod
    def take(cls) -> Inheritance | None:
        """What the program before this one left; None when there was none."""
        left = take_from_environment(VARIABLE)
        parts: Any = json.loads(left) if left else [0]
        if parts[0] != os.getpid():  # none, or that of a worker this one was started by
            return None
        return cls(*parts[1:])

    def leave(self) -> NoReturn:
        """Execute the command line of this process again, in its place.

        Raises:
            OSError: it can't be executed; this program goes on.
        """
        text = json.dumps([os.getpid(), self.descriptors, self.keeper, self.members, self.retiring])
        sys.stdout.flush()
        sys.stderr.flush()
        execute_again(**{VARIABLE: text})


def execute_again(**variables: str) -> NoReturn:
    """Execute the command line of this process in its place, with these environment variables more.

    Raises:
        OSError: it can't be executed.
    """
    program = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, program, environment_with(**variables))  # noqa: S606 - no shell wanted
