"""Worker and beat processes of a chaos run, as a shell would start them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.chaos.history import VARIABLE, History
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("JOBS_", "REDIS_URL", "UPSTASH_")

SHIFT = """
import os, time
_time = time.time
time.time = lambda: _time() + float(os.environ["SVCJOBS_CHAOS_SHIFT"])
"""


class Process:
    """A ``svcjobs`` command in a process group of its own.

    Args:
        history: where it, and whoever kills it, writes down what happens.
        arguments: the command line.
        environment: in addition to the present one, less what configures svcjobs there.
    """

    def __init__(self, history: History, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.history = history
        self._log = history.folder / f"log-{time.monotonic_ns()}.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                env=kept | {VARIABLE: str(history.folder)} | environment,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process that was started: a supervisor, or all there is."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether that one lives."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """All that it and its children have logged."""
        return self._log.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """All processes below it."""
        try:
            return sorted(child.pid for child in psutil.Process(self.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    @property
    def members(self) -> list[int]:
        """Everything alive in its process group, also what a dead supervisor left."""
        alive = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process.pid)
        return sorted(alive)

    def is_ready(self) -> Process:
        """Wait until it fetches jobs."""
        eventually(lambda: "ready\n" in self.log or not self.alive, 40, f"ready in {self.log}")
        assert self.alive, self.log
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        self.signal_one(self.pid, number)

    @staticmethod
    def signal_one(pid: int, number: signal.Signals) -> None:
        """Send a signal to any process; one that is gone doesn't mind."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    @staticmethod
    def has_stopped(pid: int) -> None:
        """Wait until a process stands still that stops itself."""
        eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, message=f"{pid} stops")

    @contextlib.contextmanager
    def wakes(self, pid: int) -> Iterator[None]:
        """SIGCONT for one process. Meanwhile all others are stopped, so that none tells it what it slept through."""
        others = [member for member in self.members if member != pid]
        for other in others:
            self.signal_one(other, signal.SIGSTOP)
        self.signal_one(pid, signal.SIGCONT)
        yield
        for other in others:
            self.signal_one(other, signal.SIGCONT)

    def kill(self, pid: int | None = None) -> None:
        """SIGKILL for one process, or for the one that was started. Children of a killed supervisor end with it."""
        pid = pid or self.pid
        doomed = [pid, *self.children] if pid == self.pid else [pid]
        self.signal_one(pid, signal.SIGKILL)
        if pid == self.pid:
            self.process.wait()
            eventually(lambda: not set(self.members) & set(doomed), 20, "children end with their supervisor")
        self._died(*doomed)

    def kill_all(self) -> None:
        """SIGKILL for the whole group."""
        doomed = self.members
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        self._died(*doomed)

    def ends(self, timeout: float = 30) -> int:
        """Its exit code, waited for."""
        return self.process.wait(timeout)

    def stop(self, timeout: float = 40) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.ends(timeout)

    def unclean_stop(self, timeout: float = 60) -> str:
        """SIGTERM; returns what was wrong about the end: an exit code, children that are left."""
        alone = not self.children
        code = self.stop(timeout)
        if code == -signal.SIGKILL and alone:  # poison, in a worker without a supervisor
            return ""
        left = self.members
        return f"the worker ended with {code} and left {left}: {self.log[-2000:]}" if code or left else ""

    def _died(self, *pids: int) -> None:
        for pid in pids:
            self.history.write("death", pid=pid)


class Fleet:
    """All processes of a run, ended with it.

    Args:
        url: the server, or a proxy before it.
        prefix: of the queue.
        history: of the run.
        lease_seconds: how long a lease lasts.
    """

    def __init__(self, url: str, prefix: str, history: History, lease_seconds: float) -> None:
        self.url = url
        self.prefix = prefix
        self.history = history
        self.lease_seconds = lease_seconds
        self.processes: list[Process] = []

    def worker(self, *options: str, shift_seconds: float = 0.0, app: str = "tests.chaos.app:registry") -> Process:
        """Start a worker of the chaos application.

        Args:
            options: of ``svcjobs worker``.
            shift_seconds: how far its clock is off.
            app: the application.
        """
        arguments = ["-m", "svcjobs", "worker", "-A", app, "--visibility-timeout", f"{self.lease_seconds:g}"]
        environment = self._environment()
        if shift_seconds:
            folder = self.history.folder / "shift"
            folder.mkdir(exist_ok=True)
            (folder / "sitecustomize.py").write_text(SHIFT)
            environment |= {"PYTHONPATH": str(folder), "SVCJOBS_CHAOS_SHIFT": str(shift_seconds)}
        return self._start([*arguments, *options], environment)

    def beat(self) -> Process:
        """Start a scheduler that writes down which ticks it took."""
        return self._start(["-m", "tests.chaos.beat"], self._environment())

    def command(self, *arguments: str) -> str:
        """What another ``svcjobs`` command says about the same server and queue."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return subprocess.run(
            [sys.executable, "-m", "svcjobs", *arguments], cwd=ROOT, env=kept | self._environment(),
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.signal_all(signal.SIGKILL)
            process.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start(self, arguments: Sequence[str], environment: dict[str, str]) -> Process:
        process = Process(self.history, arguments, environment)
        self.processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        return {"JOBS_DRIVER": "redis", "REDIS_URL": self.url, "JOBS_PREFIX": self.prefix}
