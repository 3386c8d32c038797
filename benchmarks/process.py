"""Contenders in processes of their own, each set of them on a fresh server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.child import READY_LINE
from benchmarks.measure import Sample
from benchmarks.server import start_server
from tests.server_program import ServerProgram

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 300


class ChildFailed(Exception):
    """A contender's process ended with an error, which it printed."""


def run_alone(program: ServerProgram, task: str, contender: str, *numbers: float) -> Sample:
    """The result of one task on a server of its own.

    Raises:
        ChildFailed: the process ended with an error.
    """
    with start_server(program) as server, _child(task, contender, server.url, *numbers) as child:
        return _result(child)


def run_pickup(program: ServerProgram, contender: str, idle_seconds: float, jobs: int) -> Sample:
    """What a waiting consumer costs, and how soon it starts the jobs of a producer in another process.

    Raises:
        ChildFailed: one of the processes ended with an error.
    """
    with start_server(program) as server, _child("consume", contender, server.url, idle_seconds, jobs) as consumer:
        assert consumer.stdout is not None
        if consumer.stdout.readline().strip() != READY_LINE:
            return _result(consumer)
        produced_jobs(contender, server.url, jobs)
        return _result(consumer)


def produced_jobs(contender: str, url: str, jobs: int) -> None:
    """Send single jobs from another process, each with the time of its sending, and one first that connects.

    Raises:
        ChildFailed: the process ended with an error.
    """
    with _child("produce", contender, url, jobs) as producer:
        _result(producer)


@contextmanager
def _child(task: str, contender: str, url: str, *numbers: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.child", task, contender, url, *map(json.dumps, numbers)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def _result(child: subprocess.Popen[str]) -> Sample:
    output, _ = child.communicate(timeout=TIMEOUT_SECONDS)
    if child.returncode:
        raise ChildFailed(f"{' '.join(map(str, child.args))} ended with {child.returncode}")  # type: ignore[arg-type]
    sample: Sample = json.loads(output.splitlines()[-1])
    return sample
