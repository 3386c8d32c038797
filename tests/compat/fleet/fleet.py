"""Workers of real Celery and of ours on the same queues, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.compat.close_app import close_app
from tests.compat.fleet.proj import make
from tests.compat.program import SVCJOBS, Program
from tests.eventually import eventually
from tests.servers import RedisServer

ROOT = Path(__file__).parents[3]
PROJ = "tests.compat.fleet.proj"
COMMANDS = {
    "celery": [sys.executable, "-m", "celery", "-A", PROJ, "worker", "--without-gossip"],
    "svcjobs": [SVCJOBS, "worker", "-A", PROJ, "--as-celery", "--grace", "5"],
}


class Worker:
    """A worker of either kind, with a process group of its own."""

    def __init__(self, kind: str, name: str, log: Path, environment: dict[str, str], *flags: str) -> None:
        self.kind = kind
        self.name = name
        self._log = log
        command = [*COMMANDS[kind], "-n", name, "-l", "INFO", "-P", "prefork", *flags]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ready(self) -> Worker:
        """Wait until it takes tasks."""
        eventually(lambda: f"{self.name} ready" in self.log or self.process.poll() is not None, 60, self.log)
        assert self.process.poll() is None, self.log
        return self

    def stop(self) -> None:
        """SIGTERM, without waiting for the end."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL all of its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


class Fleet:
    """Starts workers on one server, and holds a producer of each kind.

    Args:
        server: of the queues and the results.
        folder: for the logs.
    """

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self._folder = folder
        self.url = server.url
        self.environment = {**os.environ, "FLEET_URL": self.url, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
        self.workers: list[Worker] = []
        self.celery = make("celery", self.url)
        self.svcjobs = make("svcjobs_celery_compat", self.url)
        self.client = server.client()

    @property
    def producers(self) -> tuple[Any, Any]:
        """The apps of both kinds."""
        return self.celery, self.svcjobs

    def start(self, kind: str, *flags: str, **environment: str) -> Worker:
        """Start a worker: ``celery`` or ``svcjobs``."""
        name = f"{kind}{len(self.workers)}@fleet"
        log = self._folder / f"{name}.log"
        worker = Worker(kind, name, log, self.environment | environment, "-c", "1", *flags)
        self.workers.append(worker)
        return worker

    def run(self, *command: str, **environment: str) -> Program:
        """Start another program in the fleet's environment."""
        return Program(command, self._folder, self.environment | environment)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        for app in self.producers:
            close_app(app)
