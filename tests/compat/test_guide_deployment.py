"""The guide's section "Worker Deployment": what its Dockerfile, compose file and manifest start, as real processes."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.compat.program import SVCJOBS, run, running
from tests.eventually import eventually

APPLICATION = """
import glob
import os
import time

from svcjobs import JobRegistry

registry = JobRegistry()


@registry.handler("work")
def work(job):
    open(f"met-{os.getpid()}", "w").close()
    while len(glob.glob("met-*")) < job.payload.get("processes", 1):  # as many have a job at once
        time.sleep(0.01)
    print(f"ran {job.id} in {os.getpid()}", flush=True)
"""


@pytest.fixture
def application(folder: Path) -> Path:
    (folder / "shop.py").write_text(APPLICATION)
    return folder


def test_the_bare_command_with_its_environment(
    application: Path, stored: RedisJobQueue, on_redis: dict[str, str]
) -> None:
    """``["svcjobs", "worker"]`` with JOBS_DRIVER and REDIS_URL, as in the image, in compose and in the manifest."""
    job = stored.enqueue("work", {})
    environment = on_redis | {"JOBS_REGISTRY_TARGET": "shop:registry"}
    with running([SVCJOBS, "worker"], application, environment) as worker:
        worker.says(f"ran {job.id} in")
        assert worker.stop(signal.SIGTERM) == 0


def test_without_an_application_the_command_says_what_to_set(folder: Path, on_redis: dict[str, str]) -> None:
    done = run([SVCJOBS, "worker"], folder, on_redis)
    assert done.returncode == 78
    assert "JOBS_REGISTRY_TARGET" in done.stderr
    assert "JOBS_HANDLER_TARGET" in done.stderr


def test_a_worker_waits_for_a_server_that_starts_later(application: Path) -> None:
    """Compose's depends_on doesn't wait until Redis answers."""
    environment = {
        "JOBS_DRIVER": "redis", "REDIS_URL": "redis://127.0.0.1:1/0", "JOBS_REGISTRY_TARGET": "shop:registry",
    }  # fmt: skip
    with running([SVCJOBS, "worker"], application, environment) as worker:
        worker.says("isn't ready")
        assert worker.process.poll() is None


def test_replicas_share_the_work_within_the_limits_of_the_manifest(
    application: Path, stored: RedisJobQueue, on_redis: dict[str, str], redis_client: redis.Redis
) -> None:
    environment = on_redis | {"JOBS_REGISTRY_TARGET": "shop:registry"}
    with ExitStack() as stack:
        command = [SVCJOBS, "worker", "-c", "1"]
        workers = [stack.enter_context(running(command, application, environment)) for _ in range(3)]
        for worker in workers:
            worker.says("ready\n")
        jobs = [stored.enqueue("work", {"processes": 3}) for _ in range(30)]
        eventually(lambda: not redis_client.keys(f"{stored.name}:job:*"), 20)
        kin = {worker.process.pid: _children(worker.process.pid) for worker in workers}
        for worker in workers:
            # shared pages are counted once in a container
            processes = [psutil.Process(pid) for pid in (worker.process.pid, *kin[worker.process.pid])]
            assert sum(process.memory_full_info().pss for process in processes) < 128 * 1024**2
            assert worker.stop(signal.SIGTERM) == 0
        lines = [line for worker in workers for line in worker.output.splitlines() if line.startswith("ran ")]
        assert sorted(int(line.split()[1]) for line in lines) == [int(job.id) for job in jobs]
        children = {int(line.split()[3]) for line in lines}
        assert {parent for parent, own in kin.items() if own & children} == {worker.process.pid for worker in workers}


def _children(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children()}
