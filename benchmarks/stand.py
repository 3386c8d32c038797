"""A contender's stand: a server of its own, a folder for the marks of its jobs, and its worker processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from benchmarks.home import ROOT, python_of
from benchmarks.jobs import FOLDER_VARIABLE, QUEUES_VARIABLE, URL_VARIABLE, jobs_done
from benchmarks.server import ServerMeter, start_server
from tests.proxy import RedisProxy
from tests.server_program import ServerProgram

VISIT_SECONDS = 180
STALL_SECONDS = 60
POLL_SECONDS = 0.002


class Stalled(Exception):
    """A contender's worker did nothing for a minute, or its process ended with an error."""


class Stand:
    """Where one contender is measured.

    Args:
        name: of the contender.
        url: of its server.
        meter: reads the server's counters.
        marks: a folder for the marks of jobs and the output of processes.
        queues: how many it works on.
    """

    def __init__(self, name: str, url: str, meter: ServerMeter, marks: Path, queues: int = 1) -> None:
        self.meter = meter
        self.marks = marks
        self._name = name
        self._python = python_of(name)
        self._environment = {
            **os.environ,
            URL_VARIABLE: url,
            FOLDER_VARIABLE: str(marks),
            QUEUES_VARIABLE: str(queues),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        self._workers: list[subprocess.Popen[bytes]] = []
        self._numbers = itertools.count()
        self._output = (marks / "output").open("wb")

    def visit(self, task: str, jobs: int, **more: int) -> dict[str, float]:
        """Do one of the tasks of benchmarks.visit in a process of its own; gives its seconds and CPU seconds.

        Raises:
            Stalled: it failed.
        """
        done = subprocess.run(
            self._command(task, jobs, json.dumps(more)),
            cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=self._output, timeout=VISIT_SECONDS,
        )  # fmt: skip
        if done.returncode:
            raise Stalled(f"{self._name} couldn't {task}: {self.said()}")
        result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return result

    def start_worker(self) -> None:
        """One more worker process."""
        self._workers.append(
            subprocess.Popen(
                self._command("worker", next(self._numbers)),
                cwd=ROOT, env=self._environment, stdout=self._output, stderr=self._output, start_new_session=True,
            )
        )  # fmt: skip

    def kill_workers(self) -> None:
        """SIGKILL to all their processes."""
        for process in [process for worker in self._workers for process in _tree(worker.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        for worker in self._workers:
            worker.wait()
        self._workers.clear()

    def done(self) -> int:
        """How many jobs have run."""
        return jobs_done(self.marks)

    def wait_for(self, jobs: int) -> int:
        """Wait until at least so many jobs have run; gives how many have.

        Raises:
            Stalled: none ran for a minute.
        """
        seen, deadline = -1, 0.0
        while (now := self.done()) < jobs:
            if now > seen:
                seen, deadline = now, time.monotonic() + STALL_SECONDS
            elif time.monotonic() > deadline:
                raise Stalled(f"{self._name} did {now} of {jobs} jobs and then nothing: {self.said()}")
            time.sleep(POLL_SECONDS)
        return now

    def cpu_seconds(self) -> float:
        """CPU time of the workers' processes up to now."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(taken.user + taken.system for taken in times)

    def memory_mib(self) -> float:
        """Memory of the workers' processes; what they share is counted once."""
        return sum(process.memory_full_info().pss for process in self._processes()) / 2**20

    def said(self) -> str:
        """The end of what its processes have printed."""
        self._output.flush()
        return (self.marks / "output").read_text(errors="replace")[-1500:]

    def close(self) -> None:
        """Kill the workers."""
        self.kill_workers()
        self._output.close()

    def _processes(self) -> list[psutil.Process]:
        return [process for worker in self._workers for process in _tree(worker.pid)]

    def _command(self, task: str, number: int, *more: str) -> list[str]:
        return [str(self._python), "-m", "benchmarks.visit", self._name, task, str(number), *more]


@contextmanager
def open_stand(program: ServerProgram, name: str, *, queues: int = 1, delay_ms: float | None = None) -> Iterator[Stand]:
    """A contender on a fresh server.

    Args:
        program: of the server.
        name: of the contender.
        queues: how many it works on.
        delay_ms: a proxy holds each reply of the server for so long; None: there is none.
    """
    with (
        start_server(program) as server,
        ServerMeter(server.url) as meter,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ExitStack() as way,
    ):
        url = server.url
        if delay_ms is not None:
            proxy = way.enter_context(RedisProxy(server.port))
            proxy.delay(delay_ms)
            url = proxy.url
        stand = Stand(name, url, meter, Path(folder), queues)
        try:
            yield stand
        finally:
            stand.close()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
