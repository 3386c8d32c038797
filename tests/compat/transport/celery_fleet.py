"""Real Celery workers on svcjobs://, in processes of their own, and what their tasks noted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import kombu.pools
from celery import Celery
from celery.backends.redis import RedisBackend

from tests.compat.close_app import close_app
from tests.eventually import eventually
from tests.notes import lines_of

APP = """
import json, os, time
from celery import Celery

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(json.loads(os.environ["SETTINGS"]))

def note(text):
    with open("notes", "a") as notes:
        notes.write(f"{time.time():.3f} {os.getpid()} {text}\\n")

@app.task(name="add")
def add(x, y):
    note(f"add {x}")
    return x + y

@app.task(name="spin")
def spin(seconds):
    note("spin begins")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    note("spin ends")

@app.task(name="again", bind=True, max_retries=2, default_retry_delay=1)
def again(self):
    note(f"again {self.request.retries}")
    if self.request.retries < 2:
        raise self.retry()
    return "done"

@app.task(name="step", acks_late=True, reject_on_worker_lost=True)
def step(n):
    time.sleep(0.002)
    note(f"step {n}")
"""


class CeleryFleet:
    """Workers that run the tasks above, and an app to send them by.

    Args:
        folder: where they run and note.
        broker: the URL.
        backend: of the results.
        settings: of Celery, transport options included.
    """

    def __init__(self, folder: Path, broker: str, backend: str, **settings: Any) -> None:
        (folder / "app.py").write_text(APP)
        self._folder = folder
        self._settings = {"broker_connection_retry_on_startup": True, "worker_hijack_root_logger": False} | settings
        self._environment = os.environ | {
            "BROKER": broker, "BACKEND": backend, "SETTINGS": json.dumps(self._settings), "PYTHONWARNINGS": "default",
        }  # fmt: skip
        self.workers: list[subprocess.Popen[bytes]] = []
        self.app = Celery("app", broker=broker, backend=backend)
        self.app.conf.update(self._settings)

    def start(self, *options: str, pool: str = "prefork", concurrency: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is ready."""
        number = len(self.workers)
        log = self._folder / f"log{number}"
        command = [
            sys.executable, "-m", "celery", "-A", "app", "worker", "--loglevel", "INFO", "-n", f"worker{number}@here",
            "-P", pool, "-c", str(concurrency), *options,
        ]  # fmt: skip
        with log.open("wb") as output:
            worker = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.workers.append(worker)
        eventually(lambda: " ready." in self.log(number) or worker.poll() is not None, 60, self.log(number))
        assert worker.poll() is None, self.log(number)
        return worker

    def log(self, number: int = 0) -> str:
        """What a worker logged."""
        return (self._folder / f"log{number}").read_text(errors="replace")

    @property
    def notes(self) -> list[str]:
        """What the tasks noted, in order."""
        return [line.split(" ", 2)[2] for line in self._lines()]

    @property
    def times(self) -> list[tuple[float, str]]:
        """The same with the instants."""
        return [(float(line.split(" ", 2)[0]), line.split(" ", 2)[2]) for line in self._lines()]

    def noted(self, text: str, timeout: float = 60) -> None:
        """Wait for a note."""
        eventually(lambda: text in self.notes, timeout, f"{text!r}; logs: {self.log()[-3000:]}")

    def _lines(self) -> list[str]:
        return [line for line in lines_of(self._folder / "notes") if line]

    def ended(self, worker: subprocess.Popen[bytes], timeout: float = 60) -> int:
        """Wait for the end of a worker that was told to stop; returns its exit code."""
        try:
            return worker.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {timeout:g} s: {self.log(self.workers.index(worker))}") from None

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """SIGKILL a worker and its children."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        """Stop all that runs."""
        if isinstance(self.app.backend, RedisBackend):
            close_app(self.app)
        else:
            self.app.close()
        kombu.pools.reset()  # an app leaves its connections to the garbage collector
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        deadline = time.monotonic() + 10
        for worker in self.workers:
            try:
                worker.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.kill(worker)
