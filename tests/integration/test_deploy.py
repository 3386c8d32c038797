"""What the files in deploy/ start is started here, without containers, with their arguments and variables."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.compat.program import SVCJOBS, Program, run, running
from tests.eventually import eventually
from tests.integration.deployed import APP, COMPOSE, DEPLOY, SERVICES, STARTS, UNITS, environment_for, unit_of
from tests.ports import free_port
from tests.servers import RedisServer

ORPHANS = """
import subprocess
from pathlib import Path

from svcjobs import JobRegistry

registry = JobRegistry()


@registry.handler("leave")
def leave(job):
    subprocess.run(["sh", "-c", "sleep 0.2 & sleep 0.2 & exit 0"], check=True)


@registry.handler("count")
def count(job):
    states = [line for path in Path("/proc").glob("[0-9]*/status") for line in path.read_text().splitlines()]
    zombies = sum(line.startswith("State:") and "zombie" in line for line in states)
    print("zombies", zombies, "first", Path("/proc/1/comm").read_text(), flush=True)
"""


@pytest.fixture(scope="module")
def server(server_program: Any) -> Iterator[RedisServer]:
    """Redis with the settings of the compose file."""
    words = COMPOSE["services"]["redis"]["command"]
    assert words[0] == "redis-server"
    config = {name.removeprefix("--"): value for name, value in zip(words[1::2], words[2::2], strict=True)}
    with RedisServer(server_program, config=config) as server:
        client = server.client()
        for name, value in {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}.items():
            assert client.config_get(name) == {name: value}
        assert int(client.config_get("maxmemory")["maxmemory"]) > 0
        yield server


@pytest.fixture
def queue(server: RedisServer) -> Iterator[RedisJobQueue]:
    server.client().flushall()
    with closing(RedisJobQueue(server.client())) as queue:
        yield queue


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The application, where processes may leave files."""
    return shutil.copytree(APP, tmp_path / "app")


def answer(port: int, path: str) -> int:
    """The status of an HTTP request; 0 when nobody listens yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def test_the_worker_runs_jobs_answers_probes_and_stops_in_time(
    server: RedisServer, queue: RedisJobQueue, app: Path
) -> None:
    start = STARTS["compose-worker"]
    ports = {"--health-port": free_port(), "--metrics-port": free_port()}
    assert not is_well("worker", "8080", ports["--health-port"], server.url)
    with running(start.moved(ports), app, environment_for(start, server)) as worker:
        worker.says('"ready"')
        eventually(lambda: answer(ports["--health-port"], "/readyz") == 200, 30)
        assert is_well("worker", "8080", ports["--health-port"], server.url)
        assert answer(ports["--health-port"], "/livez") == 200
        assert answer(ports["--metrics-port"], "/metrics") == 200
        queue.enqueue("send_email", {"to": "ann@example.com"})
        worker.says("sent to ann@example.com")
        queue.enqueue("send_email", {"to": "bob@example.com", "seconds": 2})
        worker.says("sending to bob@example.com")
        assert worker.stop() == 0
        assert "sent to bob@example.com" in worker.output


def test_the_scheduler_loads_its_schedule_and_stops(server: RedisServer, app: Path) -> None:
    start, port = STARTS["compose-scheduler"], free_port()
    assert not is_well("scheduler", "8080", port, server.url)
    with running(start.moved({"--health-port": port}), app, environment_for(start, server)) as scheduler:
        scheduler.says("schedule digest")
        eventually(lambda: answer(port, "/readyz") == 200)
        assert is_well("scheduler", "8080", port, server.url)
        assert scheduler.stop() == 0


def test_the_dashboard_asks_for_a_password_and_stops(server: RedisServer, app: Path) -> None:
    start, port = STARTS["compose-dashboard"], free_port()
    assert not is_well("dashboard", "8090", port, server.url)
    with running(start.moved({"--port": port}), app, environment_for(start, server)) as dashboard:
        eventually(lambda: answer(port, "/") == 401, 60)
        assert is_well("dashboard", "8090", port, server.url)
        # uvicorn ends itself by the signal that it got
        assert dashboard.stop() in (0, -signal.SIGTERM)


def is_well(service: str, documented_port: str, port: int, url: str) -> bool:
    """What the health check of compose says, asked at another port."""
    kind, program, *check = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    assert not check or documented_port in check[-1]
    here = {"python": sys.executable, "svcjobs": SVCJOBS}[program]
    command = [here, *(word.replace(documented_port, str(port)) if documented_port else word for word in check)]
    return run(command, DEPLOY, {"JOBS_DRIVER": "redis", "REDIS_URL": url}).returncode == 0


def test_the_unit_reloads_the_application_without_a_new_process(
    server: RedisServer, queue: RedisJobQueue, app: Path
) -> None:
    (path,) = [path for path in UNITS if "ExecReload" in unit_of(path)]
    assert unit_of(path)["ExecReload"] == "/bin/kill -HUP $MAINPID"
    start = STARTS[f"systemd-{path.stem}"]
    ports = {"--health-port": free_port(), "--metrics-port": free_port()}
    with running(start.moved(ports), app, environment_for(start, server)) as worker:
        worker.says("ready\n")
        children = _children(worker)
        worker.process.send_signal(signal.SIGHUP)
        eventually(lambda: _children(worker) and not _children(worker) & children, 60)
        queue.enqueue("send_email", {"to": "ann@example.com"})
        worker.says("sent to ann@example.com")
        assert worker.stop() == 0


def _children(worker: Program) -> set[int]:
    listed = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
    return {int(pid) for pid in listed.read_text().split()}


def test_a_worker_is_process_1_reaps_and_stops_at_sigterm(
    server: RedisServer, queue: RedisJobQueue, tmp_path: Path
) -> None:
    """In a container nothing else takes orphans, and a process 1 without handlers gets no SIGTERM."""
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user can't make a namespace of processes")
    (tmp_path / "orphans.py").write_text(ORPHANS)
    environment = {"JOBS_DRIVER": "redis", "REDIS_URL": server.url}
    with running([*alone, SVCJOBS, "worker", "-A", "orphans", "--grace", "5"], tmp_path, environment) as outside:
        outside.says("ready\n")
        for _ in range(3):
            queue.enqueue("leave")
        eventually(lambda: queue.stats().totals["acked"] == 3)
        time.sleep(0.5)  # the orphans end meanwhile, or a little later

        def are_reaped() -> bool:
            queue.enqueue("count")
            time.sleep(0.2)
            return "zombies 0 first svcjobs" in outside.output

        eventually(are_reaped)
        (inside,) = _children(outside)
        os.kill(inside, signal.SIGTERM)
        assert outside.process.wait(30) == 0
        assert "stopped" in outside.output
