"""What tasks log and report, as ``svcjobs job`` shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually
from tests.servers import RedisServer

JOURNAL = "jobs:{telling}:journal:"


def told(server: RedisServer, job_id: str) -> Any:
    command = [sys.executable, "-m", "svcjobs", "job", job_id, "-Q", "telling", "--json"]
    environment = {**os.environ, "JOBS_DRIVER": "redis", "REDIS_URL": server.url}
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_lines_and_progress_of_a_task_are_kept(
    start: Callable[..., Worker], program: Any, worker_server: RedisServer, pool: str
) -> None:
    worker = start(f"telling-{pool}", "-c", "1", "-P", pool, "-Q", "telling", "--keep-log-lines", "5").ready()
    client = worker_server.client()
    client.delete(*client.keys(JOURNAL + "*") or ["none"])
    program.tells.apply_async(queue="telling").get(timeout=30)
    (key,) = eventually(lambda: client.keys(JOURNAL + "*"))
    document = told(worker_server, key.decode().removeprefix(JOURNAL))
    assert (document["progress"]["done"], document["progress"]["total"]) == (1, 4)
    said = [line.partition(": ")[2] for line in document["log"]]
    assert [line for line in said if "succeeded" not in line] == ["by the task's logger", "by another", "printed"]
    worker.stop()
