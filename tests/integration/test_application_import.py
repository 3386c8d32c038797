"""Where ``svcjobs worker -A`` imports the application, and what becomes of one that can't be imported any more."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.shop_fixtures import SHOP, Start, queue, start
from tests.servers import RedisServer

__all__ = ["queue", "start"]  # fixtures

pytestmark = pytest.mark.server

# a thread that writes what a handler leaves to it: a fork would leave it behind
MAILER = """
import os, queue, threading
from svcjobs.registry import JobRegistry

registry = JobRegistry()
letters = queue.Queue()

def write():
    while True:
        with open("notes", "a") as notes:
            notes.write(letters.get() + "\\n")
        letters.task_done()

threading.Thread(target=write, daemon=True).start()
letters.put(f"imported in {os.getpid()}")

@registry.handler("send")
def send(job):
    letters.put(f"sent by {os.getpid()}")
    letters.join()
"""


def test_a_child_has_the_threads_that_its_application_started(
    start: Start, tmp_path: Path, queue: RedisJobQueue, redis_server: RedisServer
) -> None:
    (tmp_path / "mailer.py").write_text(MAILER)
    worker = start(redis_server.url, "worker", "-A", "mailer")
    queue.enqueue("send")
    eventually(lambda: queue.stats().totals["acked"] == 1, message=worker.log)
    (sent,) = (note for note in worker.notes if note.startswith("sent by"))
    assert sent.replace("sent by", "imported in") in worker.notes
    assert f"imported in {worker.process.pid}" not in worker.notes


@pytest.mark.promise("P10")
def test_an_application_that_can_not_be_imported_any_more_replaces_nothing(
    start: Start, tmp_path: Path, queue: RedisJobQueue, redis_server: RedisServer
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop")
    worker.says("ready\n")
    (tmp_path / "shop.py").write_text("raise RuntimeError('broken')")
    worker.signal(signal.SIGHUP)
    worker.says("'shop' can't be used: importing shop raised RuntimeError: broken (shop.py, line 1)")
    queue.enqueue("greet", job_id="old")
    worker.noted("greet old")
    (tmp_path / "shop.py").write_text(SHOP.replace("greet {job.id}", "hail {job.id}"))

    def is_new() -> bool:
        queue.enqueue("greet")
        return any(note.startswith("hail") for note in worker.notes)

    eventually(is_new, 45, worker.log)
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os._exit(3)", "'odd' can't be used: the process that imported it ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "the process that imported it was killed by SIGKILL"),
        (
            "raise SystemExit('no licence')",
            "'odd' can't be used: it called sys.exit('no licence') when it was imported",
        ),
        ("1/0", "'odd' can't be used: importing odd raised ZeroDivisionError: division by zero (odd.py, line 1)"),
    ],
)
def test_an_import_that_fails_is_said_in_one_line(
    start: Start, tmp_path: Path, redis_server: RedisServer, code: str, says: str
) -> None:
    (tmp_path / "odd.py").write_text(code)
    worker = start(redis_server.url, "worker", "-A", "odd")
    assert worker.ends() == 78
    assert says in worker.log
    assert worker.log.startswith("svcjobs: ")
    assert worker.log.count("\n") == 1


def test_more_processes_than_the_system_allows_are_refused_with_the_limit(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    environment = os.environ | {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url}
    command = [sys.executable, "-m", "svcjobs", "worker", "-A", "shop", "-P", "prefork", "-c", "80"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)),
    )  # fmt: skip
    assert done.returncode == 78
    assert "what 80 processes need (Too many open files): raise the limit of open files (ulimit -n) to" in done.stderr
    assert "Traceback" not in done.stderr


def test_as_pid_1_it_can_be_stopped_before_it_is_ready(
    start: Start, tmp_path: Path, redis_server: RedisServer, prefix: str
) -> None:
    """The system ignores a signal to PID 1 that the program doesn't heed."""
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("new pid namespaces aren't permitted here (unshare --pid --fork)")
    (tmp_path / "slow.py").write_text("import time; open('notes', 'w').write('begun\\n'); time.sleep(60)")
    environment = os.environ | {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}
    command = [*alone, sys.executable, "-m", "svcjobs", "worker", "-A", "slow"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as unshare:
        try:
            eventually((tmp_path / "notes").exists)
            (inside,) = psutil.Process(unshare.pid).children()
            inside.terminate()
            assert unshare.wait(45) == 143
        finally:
            unshare.kill()
