"""A program in a process of its own, whose output can be waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.eventually import eventually

SVCJOBS = str(Path(sys.executable).with_name("svcjobs"))
START_SECONDS = 60


class Program:
    """A running process; stdout and stderr go to one file."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._output = folder / f"output-{os.urandom(4).hex()}"
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._output.read_text()

    def says(self, text: str) -> None:
        """Wait until ``text`` is in the output."""

        def said() -> bool:
            if text not in self.output and self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}:\n{self.output}")
            return text in self.output

        eventually(said, START_SECONDS, f"{text!r} in {self._output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(START_SECONDS)


@contextmanager
def running(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Program]:
    """``command`` runs within the block; killed at its end if it still does."""
    program = Program(command, folder, environment)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.wait()


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end."""
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
