"""``svcjobs dev`` as a process: a server of its own, new code after a save, a clean end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually
from tests.integration.shop_fixtures import Process
from tests.server_program import ServerProgram
from tests.servers import RedisServer
from tests.unit.test_settings import VARIABLES

SHOP = """
import pathlib
from svcjobs import JobRegistry

registry = JobRegistry()

@registry.handler("greet")
def greet(job):
    with open("notes", "a") as notes:
        notes.write("one " + job.id + "\\n")
"""

START_SECONDS = 30.0

Command = Callable[..., Process]


@pytest.fixture
def command(tmp_path: Path, server_program: ServerProgram) -> Iterator[Command]:
    """Starts a ``svcjobs`` command in an environment that names no server; the one of the tests is on its PATH."""
    (tmp_path / "shop.py").write_text(SHOP)
    programs = tmp_path / ".programs"
    programs.mkdir()
    (programs / "redis-server").symlink_to(server_program.path)
    others = {*VARIABLES, "PYTHONDONTWRITEBYTECODE"}
    own = {name: value for name, value in os.environ.items() if name not in others} | {"PATH": str(programs)}
    started: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        started.append(Process(tmp_path, arguments, own | environment))
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            for one in (*psutil.Process(process.process.pid).children(recursive=True), process.process):
                one.kill()
        process.process.wait()


def is_up(dev: Process, times: int = 1) -> None:
    eventually(lambda: dev.log.count(": ready\n") >= times, START_SECONDS, f"{times} starts in {dev.log}")


def exported(dev: Process) -> dict[str, str]:
    """The variables of the line that is printed for other terminals."""
    found = re.search(r"^export JOBS_DRIVER=redis REDIS_URL='(.+)'$", dev.log, re.MULTILINE)
    assert found is not None, dev.log
    return {"JOBS_DRIVER": "redis", "REDIS_URL": found[1]}


def test_code_is_reloaded_and_nothing_is_left_after_ctrl_c(command: Command, tmp_path: Path) -> None:
    dev = command("dev", "-A", "shop")
    is_up(dev)
    assert "svcjobs dev: started " in dev.log
    assert command("enqueue", "greet", "--job-id", "a", **exported(dev)).ends() == 0
    dev.noted("one a")
    family = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(family) >= 2, "a server and a worker"
    ours = os.getpgid(dev.process.pid)
    assert all(os.getpgid(process.pid) != ours for process in family), "Ctrl-C in a terminal reaches its whole group"

    (tmp_path / "shop.py").write_text(SHOP.replace("one ", "two "))
    dev.says("svcjobs dev: shop.py changed: starting again")
    is_up(dev, times=2)
    assert command("enqueue", "greet", "--job-id", "b", **exported(dev)).ends() == 0
    dev.noted("two b")

    family += psutil.Process(dev.process.pid).children(recursive=True)
    dev.signal(signal.SIGINT)
    assert dev.ends() == 0
    _, alive = psutil.wait_procs(family, 20)
    assert not alive
    folder = Path(exported(dev)["REDIS_URL"].removeprefix("unix://").partition("?")[0]).parent
    assert not folder.exists()
    assert not list(tmp_path.rglob("shop.*.pyc"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_nothing_is_left_when_it_is_killed(command: Command) -> None:
    dev = command("dev", "-A", "shop")
    is_up(dev)
    family = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(family) >= 4, "a server, a supervisor, a keeper and a child"
    dev.signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, 20)
    assert not alive


def test_a_syntax_error_is_shown_and_the_next_save_tries_again(command: Command, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP + "def broken(:\n")
    dev = command("dev", "-A", "shop")
    dev.says("SyntaxError: invalid syntax (shop.py, line 11)", START_SECONDS)
    dev.says("the worker ended with exit code 78; save a file to start it again", START_SECONDS)
    (tmp_path / "shop.py").write_text(SHOP)
    is_up(dev)
    command("enqueue", "greet", "--job-id", "a", **exported(dev))
    dev.noted("one a")
    dev.signal(signal.SIGTERM)
    assert dev.ends() == 0


def test_a_server_that_is_named_is_used_and_the_workers_options_are_passed_on(
    command: Command, own_server: RedisServer
) -> None:
    entry = '[{"name": "hello", "interval_seconds": 1, "job_name": "greet"}]'
    dev = command(
        "dev", "-A", "shop", "-c", "3", "--log-format", "json", REDIS_URL=own_server.url, JOBS_SCHEDULE_JSON=entry
    )
    dev.says(f"jobs are kept at {own_server.url}", START_SECONDS)
    dev.noted("one 1", timeout=START_SECONDS)  # the schedule runs
    assert '"message": "queue jobs: 3 jobs at once"' in dev.log
    names = {process.name() for process in psutil.Process(dev.process.pid).children(recursive=True)}
    assert not [name for name in names if "redis" in name], "no second server"
    dev.signal(signal.SIGINT)
    assert dev.ends() == 0
    assert own_server.running


def test_wrong_options_end_it_as_no_change_of_a_file_cures_them(command: Command) -> None:
    dev = command("dev", "-A", "shop", "--bogus", JOBS_DRIVER="memory")
    assert dev.ends(30) == 2
    assert "No such option" in dev.log
    assert "save a file" not in dev.log


STUBBORN = """
import os, pathlib, signal, sys
from svcjobs.cli.reloader import Reloader
from svcjobs.signals import Signals

child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('up', 'w'); time.sleep(600)"
Reloader([sys.executable, "-c", child], os.environ, pathlib.Path.cwd(), print, 0.3).run(Signals())
"""


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", STUBBORN], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        eventually((tmp_path / "up").exists, START_SECONDS)
        (child,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGHUP)
        told, _ = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0
    assert told == "ending\nthe worker doesn't end: it is killed\n"
    assert not child.is_running()
