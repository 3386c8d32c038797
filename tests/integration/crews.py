"""Starts crews (tests/integration/crew.py) and reads what they noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from svcjobs.process import process_state
from tests.eventually import eventually
from tests.notes import lines_of
from tests.server_program import ROOT

WAIT_SECONDS = 45


class Crew:
    """A running crew.

    Attributes:
        process: its supervisor.
        folder: its own.
    """

    def __init__(
        self, folder: Path, url: str, prefix: str, children: int = 2, lease: float = 3, grace: float = 5,
        ports: tuple[int, ...] = (), before: tuple[str, ...] = (), **environment: str,
    ) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._notes = folder / "notes"
        self._log = folder / "log"
        arguments = [str(part) for part in (folder, url, prefix, children, lease, grace, *ports)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "tests.integration.crew", *arguments],
                cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    def notes(self, kind: str) -> list[list[str]]:
        """The words of each note of a kind, without the kind."""
        return [words[1:] for line in lines_of(self._notes) if (words := line.split())[0] == kind]

    def noted(self, kind: str, times: int = 1, timeout: float = WAIT_SECONDS) -> list[list[str]]:
        """The notes of a kind, once there are so many."""
        return eventually(
            lambda: found if len(found := self.notes(kind)) >= times else None, timeout,
            f"{times} notes {kind!r}; log:\n{self.log}",
        )  # fmt: skip

    def starts(self, job_id: str) -> list[list[str]]:
        """Child, attempt and time of each start of a job."""
        return [words[1:] for words in self.notes("start") if words[0] == job_id]

    def started(self, job_id: str, times: int = 1, timeout: float = WAIT_SECONDS) -> list[list[str]]:
        return eventually(
            lambda: found if len(found := self.starts(job_id)) >= times else None, timeout,
            f"{times} starts of {job_id}; log:\n{self.log}",
        )  # fmt: skip

    def done(self, job_id: str, timeout: float = WAIT_SECONDS) -> None:
        eventually(lambda: any(words[0] == job_id for words in self.notes("done")), timeout, self.log)

    @property
    def keeper(self) -> int:
        return int(self.noted("keeper")[-1][0])

    @property
    def living(self) -> list[int]:
        """Children that live."""
        return [int(pid) for (pid,) in self.notes("born") if process_state(int(pid))]

    def ends(self, timeout: float = WAIT_SECONDS) -> int:
        return self.process.wait(timeout)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ends()

    def close(self) -> None:
        """Kill whatever is left."""
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 5
        while (left := [*self.living, *self._living_keepers]) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    @property
    def _living_keepers(self) -> list[int]:
        return [int(pid) for (pid,) in self.notes("keeper") if process_state(int(pid))]
