"""Progress and log lines of jobs through real workers, in Redis and on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from svcjobs.cli import main
from svcjobs.journal_store import JournalPage, JournalStore
from svcjobs.progress import Progress
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.servers import RedisServer
from tests.unit.test_settings import VARIABLES

COPIES = """
import asyncio, logging, pathlib, time
from svcjobs import JobRegistry, current_job

registry = JobRegistry()

def report():
    logging.getLogger("copies").warning("at the third of twelve")
    current_job().progress(3, 12, "copying")

@registry.handler("copy")
async def copy(job):
    report()
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.05)

@registry.handler("plain")
def plain(job):
    report()
    while not pathlib.Path("go").exists():
        time.sleep(0.05)

@registry.handler("bad")
def bad(job):
    report()
    raise RuntimeError("no")
"""
PATIENCE_SECONDS = 60
Work = Callable[..., AbstractContextManager[None]]
Run = Callable[..., Any]


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


@pytest.fixture
def environment(redis_server: RedisServer, prefix: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "copies.py").write_text(COPIES)
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return kept | {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}


@pytest.fixture
def work(environment: dict[str, str], tmp_path: Path) -> Work:
    @contextmanager
    def work(*options: str) -> Iterator[None]:
        command = [sys.executable, "-m", "svcjobs", "worker", "-A", "copies", *options]
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log)
        try:
            yield
        finally:
            (tmp_path / "go").touch()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE_SECONDS) == 0, (tmp_path / "log").read_text()

    return work


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("JOBS_DRIVER", "REDIS_URL", "JOBS_PREFIX"):
        monkeypatch.setenv(name, environment[name])

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


@pytest.mark.parametrize("pool", [["-P", "async"], ["-P", "threads"], ["-P", "prefork", "-c", "2"]])
def test_what_a_running_job_reports_is_kept(
    queue: RedisJobQueue, redis_client: redis.Redis, prefix: str, work: Work, pool: list[str]
) -> None:
    with closing(JournalStore(redis_client)) as store, work(*pool):
        for name in ("copy", "plain"):
            queue.enqueue(name, job_id=name)
        for name in ("copy", "plain"):
            (page,) = eventually(
                lambda name=name: (found := store.read([(prefix, name)]))[0] and found, PATIENCE_SECONDS
            )
            assert page is not None
            assert page.progress is not None
            assert (page.attempt, page.progress.done, page.progress.note) == (1, 3, "copying")
            assert page.lines == []


def test_the_command_line_shows_progress_and_lines(
    queue: RedisJobQueue, redis_client: redis.Redis, prefix: str, work: Work, run: Run, tmp_path: Path
) -> None:
    key = f"{prefix}:journal:c"
    with work("--keep-log-lines", "5"):
        queue.enqueue("bad", job_id="b", max_attempts=1)
        queue.enqueue("copy", job_id="c")
        eventually(lambda: redis_client.exists(key), PATIENCE_SECONDS)
        assert 86_000 < redis_client.ttl(key) <= 86_400
        shown = run("job", "c")
        assert "state     leased\n" in shown
        assert "progress  3 of 12 (25 %) copying, in attempt 1 at 20" in shown
        assert "WARNING copies: at the third of twelve" in shown

        def listed() -> Any:
            running = [job for worker in run("workers", "--json")["workers"] for job in worker["running"]]
            return next((job for job in running if job["job_id"] == "c"), None)

        job = eventually(listed, PATIENCE_SECONDS)
        assert (job["progress"]["done"], job["progress"]["total"]) == (3, 12)
        assert "3 of 12 (25 %) copying" in run("workers")

        (tmp_path / "go").touch()
        eventually(lambda: 0 < redis_client.ttl(key) <= 600, PATIENCE_SECONDS)
        document = run("job", "c", "--json")
        assert (document["state"], document["progress"]["note"]) == ("done", "copying")
        eventually(lambda: redis_client.exists(f"{prefix}:journal:b"), PATIENCE_SECONDS)
        document = run("job", "b", "--json")
        assert (document["state"], document["attempts"], len(document["log"])) == ("dead", 1, 1)


def test_pages_are_written_and_read(redis_client: redis.Redis, prefix: str) -> None:
    page = JournalPage(2, Progress(1, 2, "é"), ["a", "b"])
    with closing(JournalStore(redis_client)) as store:
        store.write([(prefix, "1", page), (prefix, "2", JournalPage(1, done=True))])
        redis_client.set(f"{prefix}:journal:3", "[1")
        redis_client.lpush(f"{prefix}:journal:4", "x")
        found = store.read([(prefix, str(number)) for number in range(1, 6)])
    assert found == [page, JournalPage(1, lines=[], done=True), None, None, None]
