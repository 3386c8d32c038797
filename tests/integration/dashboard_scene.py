"""A shop with a dead job, a worker and a dashboard, each in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.ports import free_port
from tests.unit.test_settings import VARIABLES

START_SECONDS = 60.0
SHOP = """
from pathlib import Path
from svcjobs import JobRegistry

registry = JobRegistry()


@registry.handler("charge")
def charge(job):
    if not Path("bank-answers").exists():
        raise ConnectionError("the bank doesn't answer")
"""


class Scene:
    """The shop. Its charges fail until :meth:`mend`.

    Args:
        folder: where its files lie.
        url: the Redis server.
        prefix: of its queues.
    """

    def __init__(self, folder: Path, url: str, prefix: str) -> None:
        self._folder = folder
        self.write("shop", SHOP)
        self._environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        self._environment |= {"JOBS_DRIVER": "redis", "REDIS_URL": url, "JOBS_PREFIX": prefix, "PYTHONUNBUFFERED": "1"}
        self._client = redis.Redis.from_url(url)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.queue = RedisJobQueue(self._client, prefix=prefix)

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(START_SECONDS)
        self.queue.close()
        self._client.close()

    def write(self, module: str, code: str) -> None:
        """Write a module into the folder, where ``-A`` finds it."""
        (self._folder / f"{module}.py").write_text(code)

    def serve(
        self, *arguments: str, port: int | None = None, application: str = "shop", **environment: str
    ) -> tuple[str, subprocess.Popen[bytes]]:
        """Start a dashboard; returns its address and its process."""
        port = port or free_port()
        process, log = self._start("dashboard", "-A", application, "--port", str(port), *arguments, **environment)
        address = eventually(lambda: re.search(r"http://\S+/", log.read_text()), START_SECONDS, "the dashboard starts")
        return address[0], process

    def work(self) -> None:
        """Start a worker, and wait until it fetches."""
        _, log = self._start("worker", "-A", "shop", "-n", "till@shop")
        eventually(lambda: ": ready" in log.read_text(), START_SECONDS, "the worker starts")

    def dead_job(self, name: str = "charge", payload: dict[str, Any] | None = None) -> str:
        """The id of a job that has just failed for good."""
        job = self.queue.enqueue(name, payload or {}, max_attempts=1)
        eventually(lambda: self.queue.place(job.id) == "dead", START_SECONDS, f"{name} fails")
        return job.id

    def mend(self, *, works: bool = True) -> None:
        """Let charges succeed from now on, or fail again."""
        answers = self._folder / "bank-answers"
        answers.touch() if works else answers.unlink(missing_ok=True)

    def _start(self, *command: str, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        path = self._folder / f"log{len(self._processes)}"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "svcjobs", *command],
                cwd=self._folder, env=self._environment | environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._processes.append(process)
        return process, path
