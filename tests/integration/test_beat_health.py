"""/livez, /readyz and /metrics of ``svcjobs beat``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from svcjobs.cli.exits import Exit
from svcjobs.probes import WEDGED_SECONDS
from tests.eventually import eventually
from tests.integration.test_health import get
from tests.ports import free_port
from tests.servers import RedisServer

TARGETS = """
import asyncio, pathlib, time

async def block():
    if pathlib.Path("block").exists():
        time.sleep(60)

async def last():
    if pathlib.Path("last").exists():
        await asyncio.sleep(4)
"""
EVERY_SECOND = """[
    {"name": "block", "interval_seconds": 1, "target": "targets:block"},
    {"name": "last", "interval_seconds": 1, "target": "targets:last"}
]"""

YEARLY = '[{"name": "block", "cron": "0 0 1 1 *", "target": "targets:block"}]'

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []
    (tmp_path / "targets.py").write_text(TARGETS)

    def start(url: str, port: int, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "JOBS_DRIVER": "redis", "REDIS_URL": url, "JOBS_SCHEDULE_JSON": EVERY_SECOND,
            "PYTHONPATH": str(tmp_path), **variables,
        }  # fmt: skip
        program = [sys.executable, "-m", "svcjobs", *(command or ["beat"]), "--health-port", str(port)]
        processes.append(subprocess.Popen(program, cwd=tmp_path, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_it_lives_while_its_server_is_away_and_is_ready_when_it_answers(start: Start, own_server: RedisServer) -> None:
    port = free_port()
    own_server.stop()
    start(own_server.url, port)
    eventually(lambda: get(port, "/readyz") == (503, "starting\n"))
    assert get(port, "/livez") == (200, "ok\n")
    own_server.start()
    eventually(lambda: get(port, "/readyz") == (200, "ok\n"))
    eventually(lambda: 'jobs_scheduler_last_tick_age_seconds{queue="jobs",schedule="last"}' in get(port, "/metrics")[1])
    own_server.stop()
    assert "jobs_queue_up{" not in get(port, "/metrics")[1]  # it would hide that no worker lives
    eventually(lambda: "the schedule isn't served since" in get(port, "/readyz")[1])
    away_until = time.monotonic() + WEDGED_SECONDS + 3
    while time.monotonic() < away_until:
        assert get(port, "/livez") == (200, "ok\n")
        time.sleep(0.5)
    own_server.start()
    eventually(lambda: get(port, "/readyz") == (200, "ok\n"))


def test_one_with_nothing_to_do_is_not_ready_without_its_server(start: Start, own_server: RedisServer) -> None:
    port = free_port()
    start(own_server.url, port, JOBS_SCHEDULE_JSON=YEARLY)
    eventually(lambda: get(port, "/readyz") == (200, "ok\n"))
    own_server.stop()
    eventually(lambda: get(port, "/readyz") == (503, "the server doesn't answer\n"))


def test_one_whose_event_loop_is_blocked_does_not_live(start: Start, own_server: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    start(own_server.url, port)
    eventually(lambda: get(port, "/readyz") == (200, "ok\n"))
    (tmp_path / "block").touch()
    eventually(lambda: get(port, "/livez") == (503, "the event loop doesn't turn\n"), 30)


def test_a_worker_whose_scheduler_is_blocked_does_not_live(
    start: Start, own_server: RedisServer, tmp_path: Path
) -> None:
    port = free_port()
    start(own_server.url, port, "worker", "-B")
    eventually(lambda: get(port, "/livez") == (200, "ok\n"))
    eventually(lambda: 'schedule="last"' in get(port, "/metrics")[1])
    (tmp_path / "block").touch()
    eventually(lambda: "is silent and uses no CPU" in get(port, "/livez")[1], 30)


def test_one_that_stops_is_not_ready_while_its_last_entry_runs(
    start: Start, own_server: RedisServer, tmp_path: Path
) -> None:
    port = free_port()
    beat = start(own_server.url, port)
    eventually(lambda: get(port, "/readyz") == (200, "ok\n"))
    (tmp_path / "last").touch()
    client = own_server.client()
    before = client.hget("jobs:ticks", "last")
    eventually(lambda: client.hget("jobs:ticks", "last") != before)
    beat.send_signal(signal.SIGTERM)
    eventually(lambda: get(port, "/readyz") == (503, "stopping\n"))
    assert beat.wait(30) == 0


def test_a_port_that_is_taken_is_a_wrong_configuration(
    start: Start, own_server: RedisServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.create_server(("", 0))) as taken:
        port = taken.getsockname()[1]
        beat = start(own_server.url, port)
        assert beat.wait(60) == Exit.CONFIGURATION
    assert f"port {port} can't be listened on" in capfd.readouterr().err
