"""Requeueing, discarding and cancelling by a filter, on a real server, while workers run and when it is interrupted."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event, Thread
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from svcjobs.cli import main
from svcjobs.job import NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.servers import RedisServer
from tests.unit.test_settings import VARIABLES

Run = Callable[..., Result]

DEAD = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('HSET', KEYS[1] .. ':job:' .. i, 'id', i, 'name', i % 2 == 0 and 'mail' or 'resize', 'payload', ARGV[3],
    'available_at', '2026-11-01T00:00:00+00:00', 'attempts', 5, 'max_attempts', 5, 'backoff_seconds', 60,
    'last_error', 'TimeoutError', 'reason', 'exhausted', 'dead_at', '2026-11-01T00:00:00.000000+00:00')
  redis.call('LPUSH', KEYS[1] .. ':dlq', i)
end
redis.call('SET', KEYS[1] .. ':seq', ARGV[2])
"""


@pytest.fixture(autouse=True)
def _environment(redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOBS_DRIVER", "redis")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("JOBS_PREFIX", prefix)


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=text, prog_name="svcjobs")


def kill(queue: RedisJobQueue, name: str, error: str = "it broke", reason: str = "rejected") -> str:
    """A job that is dead; its id."""
    queue.enqueue(name)
    job = queue.reserve_next()
    assert job is not None
    queue.bury(job, reason=reason, error=error)
    return job.id


def kill_many(client: redis.Redis, prefix: str, count: int, payload: str = "{}") -> None:
    """Jobs that are dead, ``mail`` and ``resize`` by turns."""
    for first in range(1, count + 1, 1000):
        client.eval(DEAD, 1, prefix, first, min(first + 999, count), payload)


def names_of(queue: RedisJobQueue) -> list[str]:
    return sorted(job.name for job in queue.dead())


def test_a_filter_requeues_what_it_takes_and_nothing_else(queue: RedisJobQueue) -> None:
    kill(queue, "send_mail", "ReadTimeout: slow")
    kill(queue, "send_mail", "no such mailbox")
    kill(queue, "resize", "ReadTimeout: slow")
    done = run("dlq", "requeue", "--name", "send_*", "--error", "timeout", "--newer-than", "1h", "--yes")
    assert (done.exit_code, done.stdout) == (0, "requeued 1 jobs\n")
    assert names_of(queue) == ["resize", "send_mail"]
    assert run("dlq", "requeue", "--older-than", "1h", "--yes").stdout == "requeued 0 jobs\n"
    assert run("dlq", "requeue", "--reason", "rejected", "--name", "re*", "--yes").stdout == "requeued 1 jobs\n"
    assert names_of(queue) == ["send_mail"]


def test_a_dry_run_counts_by_name_and_reason_and_changes_nothing(queue: RedisJobQueue, prefix: str) -> None:
    for name in ("mail", "mail", "resize"):
        kill(queue, name)
    kill(queue, "mail", reason="corrupt")
    before = queue.stats()
    shown = run("dlq", "purge", "--name", "m*", "--dry-run")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == f"would remove 3 of 4 dead jobs of {prefix}"
    told = json.loads(run("dlq", "requeue", "--name", "m*", "--dry-run", "--json").stdout)
    assert told == {
        "queue": prefix, "dry_run": True, "total": 4, "meant": 3,
        "groups": [{"name": "mail", "reason": "rejected", "jobs": 2}, {"name": "mail", "reason": "corrupt", "jobs": 1}],
    }  # fmt: skip
    assert run("dlq", "requeue", "--all", "--dry-run").stdout.endswith(f"would requeue 4 of 4 dead jobs of {prefix}\n")
    assert (queue.stats().dead, queue.stats().totals) == (before.dead, before.totals)


def test_a_question_says_how_many_and_no_changes_nothing(queue: RedisJobQueue, prefix: str) -> None:
    kill(queue, "mail")
    kill(queue, "resize")
    no = run("dlq", "purge", "--name", "mail", text="n\n")
    assert no.exit_code == 1
    assert f"Remove 1 of 2 dead jobs of {prefix}?" in no.stderr
    assert queue.stats().dead == 2
    assert run("dlq", "purge", "--name", "mail", text="").exit_code == 1
    yes = run("dlq", "purge", "--name", "mail", text="y\n")
    assert (yes.exit_code, yes.stdout) == (0, "removed 1 jobs\n")
    assert names_of(queue) == ["resize"]


def test_several_queues_at_once(queue: RedisJobQueue, prefix: str) -> None:
    other = queue.sibling(f"{prefix}:{{emails}}")
    kill(queue, "mail")
    kill(other, "mail")
    kill(other, "mail")
    done = run("dlq", "requeue", "-Q", f"{prefix},emails", "--name", "mail", "--yes")
    assert done.stdout == f"{prefix}: requeued 1 jobs\n{prefix}:{{emails}}: requeued 2 jobs\n"
    emptied = json.loads(run("cancel", "-Q", f"{prefix},emails", "--all", "--yes", "--json").stdout)
    assert emptied == {
        "queues": [
            {"queue": prefix, "cancelled": 1, "running": 0},
            {"queue": f"{prefix}:{{emails}}", "cancelled": 2, "running": 0},
        ]
    }


def test_what_is_refused_stays_dead_and_makes_the_exit_code_1(queue: RedisJobQueue) -> None:
    queue.enqueue("mail", unique=Unique("k"))
    job = queue.reserve_next()
    assert job is not None
    queue.bury(job, reason="bad")
    queue.enqueue("mail", unique=Unique("k"))
    refused = run("dlq", "requeue", "--all", "--yes")
    assert (refused.exit_code, refused.stdout) == (1, "requeued 0 jobs, 1 refused\n")
    assert "unique key" in refused.stderr
    assert queue.stats().dead == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dlq", "requeue", "1", "--name", "x"], "or a filter such as --name"),
        (["dlq", "purge", "--all", "--error", "x"], "or a filter such as --name"),
        (["cancel"], "or a filter such as --name"),
        (["cancel", "1", "--all"], "or a filter such as --name"),
        (["cancel", "1", "--dry-run"], "--dry-run goes with a filter"),
        (["dlq", "requeue", "1", "-Q", "a,b"], "belongs to one queue"),
        (["dlq", "requeue", "--older-than", "soon"], "no duration"),
    ],
)
def test_what_is_unclear_is_refused(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_cancel_ends_what_waits_and_tells_what_runs(queue: RedisJobQueue) -> None:
    queue.enqueue_many(
        [NewJob("mail")] * 2 + [NewJob("mail", delay_seconds=60), NewJob("resize"), NewJob("mail", priority=5)]
    )
    job = queue.reserve_next()
    assert job is not None
    dry = run("cancel", "--name", "mail", "--dry-run")
    assert "would cancel 4 of 5 jobs that wait or run" in dry.stdout
    assert run("cancel", "--name", "mail", "--error", "x", "--yes").stdout == "cancelled 0 jobs\n"
    done = run("cancel", "--name", "mail", "--yes")
    assert (done.exit_code, done.stdout) == (0, "cancelled 3 jobs, 1 running\n")
    queue.release(job)
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.in_flight, stats.dead) == (1, 0, 0, 4)
    assert {dead.reason for dead in queue.dead()} == {"cancelled"}


def test_each_job_is_requeued_once_while_workers_take_and_bury_them(
    queue: RedisJobQueue, redis_client: redis.Redis, prefix: str
) -> None:
    kill_many(redis_client, prefix, 1500)
    ran: list[str] = []
    enough = Event()

    def work() -> None:
        with closing(RedisJobQueue(redis_client, prefix=prefix)) as mine:
            while not enough.is_set():
                for job in mine.reserve_many(20):
                    ran.append(job.id)
                    mine.bury(job, reason="again")

    worker = Thread(target=work)
    worker.start()
    try:
        done = run("dlq", "requeue", "--name", "mail", "--yes")
        assert done.stdout == "requeued 750 jobs\n"
        eventually(lambda: len(ran) >= 750, 20)
    finally:
        enough.set()
        worker.join()
    assert sorted(ran, key=int) == [str(number) for number in range(2, 1501, 2)]
    assert queue.stats().dead == 1500


def spawn(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "svcjobs", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("verb", ["requeue", "purge"])
def test_an_interrupted_run_says_how_far_it_came_and_loses_nothing(
    queue: RedisJobQueue, redis_client: redis.Redis, prefix: str, verb: str
) -> None:
    kill_many(redis_client, prefix, 40_000)
    process = spawn("dlq", verb, "--name", "resize", "--yes")
    eventually(lambda: redis_client.llen(f"{prefix}:dlq") < 39_900, 20)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert error.startswith("svcjobs: interrupted; ")
    assert error.count("\n") == 1
    stats = queue.stats()
    assert 20_000 < stats.dead < 39_900
    kept = stats.ready if verb == "requeue" else 40_000 - stats.dead
    assert stats.dead + kept == 40_000
    # what was done last may not be counted yet
    told = int(error.split("requeued " if verb == "requeue" else "removed ")[1].split()[0])
    assert kept - 200 <= told <= kept
    goes_on = run("dlq", verb, "--name", "resize", "--yes")
    assert goes_on.exit_code == 0
    assert queue.stats().dead == 20_000


def test_a_server_that_goes_away_is_exit_code_69_with_how_far_it_came(
    server_program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisServer(server_program, appendonly=True) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        client = server.client()
        monkeypatch.setenv("JOBS_PREFIX", "jobs")
        kill_many(client, "jobs", 20_000)
        process = spawn("dlq", "requeue", "--all", "--yes")
        eventually(lambda: client.llen("jobs:dlq") < 19_800, 20)
        server.kill()
        _, error = process.communicate(timeout=30)
        assert process.returncode == 69
        assert "jobs before that" in error
        server.start()
        assert server.client().llen("jobs:dlq") + server.client().llen("jobs:ready") == 20_000


def test_memory_is_bounded_however_many_jobs_are_dead(redis_client: redis.Redis, prefix: str) -> None:
    def peak_kib(count: int) -> int:
        kill_many(redis_client, prefix, count, json.dumps({"text": "x" * 3000}))
        process = spawn("dlq", "purge", "--all", "--yes")
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == f"removed {count} jobs\n", process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        process.stderr.close()
        assert process.returncode == 0
        return usage.ru_maxrss

    few, many = peak_kib(500), peak_kib(8000)
    assert many - few < 12_000, (few, many)  # all payloads together have 24,000


def test_a_terminal_gets_a_bar_and_a_pipe_gets_none(redis_client: redis.Redis, prefix: str) -> None:
    kill_many(redis_client, prefix, 1000)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "svcjobs", "dlq", "requeue", "--all", "--yes"],
        stdout=subprocess.PIPE, stderr=theirs, text=True, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux tells of the closed end like this
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "requeued 1000 jobs\n")
    assert b"Requeue" in shown
    assert b"1000/1000" in shown
    assert run("dlq", "requeue", "--all", "--yes").stderr == ""
