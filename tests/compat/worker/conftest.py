"""Workers as their users start them: processes of a command, on a server of these tests' own."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from svcjobs.easy import open_client
from svcjobs_celery_compat import _state
from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import RedisServer

ROOT = Path(__file__).parents[3]
START_SECONDS = 60.0
PROGRAM = "tests.compat.worker.program"


class Worker:
    """A running ``celery worker``.

    Args:
        url: of the server.
        name: its own.
        log: where its log goes.
        flags: further arguments.
        environment: further variables.
    """

    def __init__(self, url: str, name: str, log: Path, *flags: str, **environment: str) -> None:
        self.name = f"{name}@tests"
        self.log = log
        self._client = open_client(url)
        command = [sys.executable, "-m", "svcjobs_celery_compat", "-A", PROGRAM, "worker"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "-n", self.name, "-l", "INFO", "--grace", "5", *flags],
                cwd=ROOT,
                env={**os.environ, "FACADE_URL": url, "PYTHONWARNINGS": "ignore", **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self) -> Worker:
        """Wait until it takes tasks."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            found: Any = self._client.lrange("notes:ready", 0, -1)
            return self.name.encode() in found

        eventually(is_ready, START_SECONDS, "the worker is ready")
        return self

    def stop(self) -> None:
        """SIGTERM, after which it ends, and well."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        assert self.process.returncode == 0, self.log.read_text()

    def kill(self) -> None:
        """End all of its processes, whatever they do."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        self._client.close()


@pytest.fixture(scope="module")
def worker_server(server_program: ServerProgram) -> Iterator[RedisServer]:
    with RedisServer(server_program) as server:
        yield server


@pytest.fixture(scope="module")
def start(worker_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    """Starts workers, which end with the module."""
    folder = tmp_path_factory.mktemp("workers")
    workers: list[Worker] = []

    def start_worker(name: str, *flags: str, **environment: str) -> Worker:
        log = folder / f"{name}{len(workers)}.log"
        worker = Worker(worker_server.url, name, log, *flags, **environment)
        workers.append(worker)
        return worker

    yield start_worker
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="module")
def program(worker_server: RedisServer) -> Iterator[Any]:
    """The program's module, imported anew: its app is on the server of these tests."""
    sys.modules.pop(PROGRAM, None)  # other tests of this process may have had it, on another server
    shared = set(_state._on_app_finalizers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACADE_URL", worker_server.url)
        module = importlib.import_module(PROGRAM)
    yield module
    module.app.close()
    # its tasks are shared with each app made from here on, and a further import would make them all twice
    _state._on_app_finalizers.intersection_update(shared)


@pytest.fixture
def client(worker_server: RedisServer) -> Iterator[redis.Redis]:
    client = open_client(worker_server.url)
    yield client
    client.close()
