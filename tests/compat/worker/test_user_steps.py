"""What a user's steps and signal handlers may do to a worker: end it, and work as if no event loop ran."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.compat.program import SVCJOBS, Program, running
from tests.eventually import eventually
from tests.notes import lines_of
from tests.servers import RedisServer

pytestmark = pytest.mark.server

PROJ = """
import asyncio, os
from svcjobs_celery_compat import Celery, bootsteps
from svcjobs_celery_compat.exceptions import WorkerShutdown, WorkerTerminate
from svcjobs_celery_compat.signals import worker_process_init, worker_process_shutdown

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BROKER"])

def note(text):
    with open("notes", "a") as notes:
        notes.write(text + "\\n")

def ends():
    raise eval(os.environ["RAISES"])

class AtStart(bootsteps.StartStopStep):
    requires = {"svcjobs_celery_compat.worker.components:Pool"}

    def __init__(self, parent, **options):
        note("step is made")
        super().__init__(parent, **options)

    def start(self, worker):
        note("step starts")
        ends()

class InConsumer(bootsteps.StartStopStep):
    def start(self, consumer):
        note("step starts")
        ends()

class Later(bootsteps.StartStopStep):
    requires = {"svcjobs_celery_compat.worker.components:Timer"}

    def start(self, worker):
        note("step starts")
        worker.timer.call_after(0.5, ends)

class WhenMade(bootsteps.StartStopStep):
    def __init__(self, parent, **options):
        note("step starts")
        if os.path.exists(os.environ.get("ONLY_IF", ".")):
            ends()

steps = {
    "when made": ("worker", WhenMade), "at start": ("worker", AtStart), "in consumer": ("consumer", InConsumer),
    "later": ("worker", Later),
}
if step := os.environ.get("STEP"):
    blueprint, cls = steps[step]
    app.steps[blueprint].add(cls)

async def sleeps():
    await asyncio.sleep(0)
    return "awaited"

@worker_process_init.connect
def begin(**_):
    note("init " + asyncio.run(sleeps()))

@worker_process_shutdown.connect
def end(**_):
    note("shutdown " + asyncio.run(sleeps()))

@app.task
async def add(x, y):
    await asyncio.sleep(0)
    return x + y
"""


@contextmanager
def worker(tmp_path: Path, server: RedisServer, *options: str, **environment: str) -> Iterator[Program]:
    (tmp_path / "proj.py").write_text(PROJ)
    command = [SVCJOBS, "worker", "-A", "proj", "-l", "INFO", "-c", "1", *options]
    with running(command, tmp_path, {"BROKER": server.url, **environment}) as program:
        yield program


@pytest.mark.parametrize(
    ("step", "raises", "code"),
    [
        ("at start", "ValueError('no')", 1),
        ("at start", "SystemExit(3)", 3),
        ("in consumer", "ValueError('no')", 1),
        ("in consumer", "SystemExit('so')", 1),
        ("when made", "ValueError('no')", 1),
        ("when made", "SystemExit(2)", 2),
        ("later", "SystemExit(4)", 4),
        ("later", "WorkerShutdown(5)", 5),
        ("later", "WorkerTerminate(6)", 6),
        ("later", "SystemExit()", 0),
    ],
)
def test_a_step_ends_the_worker_with_its_code(
    tmp_path: Path, own_server: RedisServer, step: str, raises: str, code: int
) -> None:
    with worker(tmp_path, own_server, STEP=step, RAISES=raises) as program:
        assert program.process.wait(60) == code, program.output
    notes = lines_of(tmp_path / "notes")
    assert notes.count("step starts") == 1
    assert notes.count("step is made") == (step == "at start")
    assert ("ValueError" in program.output) == ("ValueError" in raises)


def test_an_error_in_a_timer_ends_nothing(tmp_path: Path, own_server: RedisServer) -> None:
    with worker(tmp_path, own_server, STEP="later", RAISES="ValueError('no')") as program:
        program.says("Timer error: ValueError('no')")
        assert program.stop() == 0


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_handlers_of_a_process_run_outside_of_its_event_loop(
    tmp_path: Path, own_server: RedisServer, pool: str
) -> None:
    def notes() -> list[str]:
        return lines_of(tmp_path / "notes")

    with worker(tmp_path, own_server, "-P", pool) as program:
        eventually(lambda: "init awaited" in notes(), message=program.output)
        send = [SVCJOBS, "celery", "-A", "proj", "call", "proj.add", "-a", "[1, 2]"]
        with running(send, tmp_path, {"BROKER": own_server.url}) as call:
            assert call.process.wait(60) == 0
        program.says("succeeded")  # a coroutine still runs in the loop of its process
        assert program.stop(signal.SIGTERM) == 0
        assert notes() == ["init awaited", "shutdown awaited"]
        assert "raised" not in program.output


def test_a_step_that_can_not_be_made_any_more_replaces_nothing(tmp_path: Path, own_server: RedisServer) -> None:
    def made() -> int:
        return lines_of(tmp_path / "notes").count("step starts")

    broken = {"STEP": "when made", "RAISES": "ValueError('no')", "ONLY_IF": "broken"}
    with worker(tmp_path, own_server, **broken) as program:
        program.says(" ready.\n")
        (tmp_path / "broken").touch()
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: made() >= 3, 30, program.output)  # it is tried again and again
        (tmp_path / "broken").unlink()
        tries = made()
        eventually(lambda: made() > tries and program.output.count("ready") >= 2, 45, program.output)
        assert program.process.poll() is None
        assert program.stop() == 0
