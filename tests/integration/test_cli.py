"""The commands on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from svcjobs._redis.urls import connect_async, parse
from svcjobs.cli import main
from svcjobs.redis_queue import RedisJobQueue
from tests.servers import Cluster, RedisServer, start_sentinel
from tests.unit.test_settings import VARIABLES

Run = Callable[..., Result]


@pytest.fixture
def run(redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOBS_DRIVER", "redis")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("JOBS_PREFIX", prefix)

    def invoke(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=text, prog_name="svcjobs")

    return invoke


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def bury(queue: RedisJobQueue, job_id: str) -> None:
    queue.enqueue("mail", {"to": "é@x"}, job_id=job_id)
    job = queue.reserve_next()
    assert job is not None
    queue.bury(job, reason="rejected", error="Refused: no such\nmailbox", traceback="Traceback\n  line")


def test_enqueue_prints_the_id_and_stores_what_was_said(run: Run, queue: RedisJobQueue) -> None:
    result = run(
        "enqueue", "mail", '{"to": "é@x"}', "--unique", "k",
        "--priority", "3", "--max-attempts", "2", "--backoff", "1.5",
        "--soft-time-limit", "2.5", "--time-limit", "3",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "1\n")
    job = queue.get("1")
    assert job is not None
    assert (job.name, job.payload, job.priority, job.max_attempts, job.backoff_seconds) == (
        "mail", {"to": "é@x"}, 3, 2, 1.5,
    )  # fmt: skip
    assert (job.soft_time_limit_seconds, job.time_limit_seconds) == (2.5, 3)
    again = run("enqueue", "mail", "--unique", "k")
    assert (again.exit_code, again.stdout) == (0, "1\n")
    assert "nothing was stored" in again.stderr
    assert document(run("enqueue", "mail", "--unique", "k", "--json"))["created"] is False


def test_enqueue_reads_files_and_stdin(run: Run, queue: RedisJobQueue, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"from": "file"}')
    assert run("enqueue", "a", f"@{file}", "--job-id", "f").stdout == "f\n"
    assert run("enqueue", "a", "-", "--job-id", "s", text='{"from": "stdin"}').stdout == "s\n"
    assert [queue.get(name).payload["from"] for name in ("f", "s")] == ["file", "stdin"]  # type: ignore[union-attr]


def test_enqueue_of_a_dead_id_fails(run: Run, queue: RedisJobQueue) -> None:
    bury(queue, "d")
    result = run("enqueue", "mail", "--job-id", "d")
    assert result.exit_code == 1
    assert "dead letter queue" in result.stderr


def test_cancel_ends_a_job_or_tells_its_worker(run: Run, queue: RedisJobQueue) -> None:
    queue.enqueue("a", job_id="runs")
    job = queue.reserve_next()
    assert job is not None
    queue.enqueue("a", job_id="waits")
    waiting, running, unknown = (run("cancel", job_id) for job_id in ("waits", "runs", "unknown"))
    assert (waiting.exit_code, waiting.stdout) == (0, "cancelled waits\n")
    assert running.exit_code == 0
    assert "worker" in running.stdout
    assert unknown.exit_code == 1
    assert "unknown" in unknown.stderr
    queue.release(job)
    assert {(dead.id, dead.reason) for dead in queue.dead()} == {("waits", "cancelled"), ("runs", "cancelled")}


def test_status_counts_what_lies_where(run: Run, queue: RedisJobQueue, prefix: str) -> None:
    bury(queue, "d")
    run("enqueue", "a")
    run("enqueue", "a", "--delay", "3600")
    run("enqueue", "a", "-Q", "emails")
    run("enqueue", "a", "-Q", "emails")
    queue.reserve_next()
    run("enqueue", "a")
    first, second = document(run("status", "-Q", f"{prefix},emails", "--json"))["queues"]
    assert (first["queue"], second["queue"]) == (prefix, f"{prefix}:{{emails}}")
    assert [first[name] for name in ("ready", "delayed", "in_flight", "dead", "paused")] == [1, 1, 1, 1, False]
    assert first["oldest_ready_age_seconds"] >= 0
    assert second["ready"] == 2
    shown = run("status").stdout
    assert prefix in shown
    assert "in 59m" in shown


def test_status_watch_draws_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("enqueue", "a")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        run("enqueue", "a")
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("svcjobs.cli.status.time.sleep", pause)
    result = run("status", "--watch", "0.5")
    assert result.exit_code == 0
    assert pauses == [0.5, 0.5]
    assert result.stdout.count("Ready") == 2


def test_pause_is_stored_and_resume_undoes_it(run: Run, queue: RedisJobQueue, prefix: str) -> None:
    assert run("pause").stdout == f"paused {prefix}\n"
    run("enqueue", "a")
    assert queue.reserve_next() is None
    assert "paused" in run("status").stdout
    assert run("resume").exit_code == 0
    assert queue.reserve_next() is not None


def test_purge_asks_first(run: Run, queue: RedisJobQueue) -> None:
    run("enqueue", "a")
    run("enqueue", "a", "--delay", "60")
    refused = run("purge", text="n\n")
    assert refused.exit_code == 1
    assert "1 ready and 1 delayed" in refused.stderr
    assert queue.stats().ready == 1
    assert "removed 2 jobs" in run("purge", "--yes").stdout
    assert queue.stats().delayed == 0


def test_dlq_list_and_show(run: Run, queue: RedisJobQueue, prefix: str) -> None:
    for job_id in ("d1", "d2", "d3"):
        bury(queue, job_id)
    page = document(run("dlq", "list", "--limit", "2", "--offset", "1", "--json"))
    assert page["total"] == 3
    assert [job["id"] for job in page["jobs"]] == ["d2", "d1"]
    shown = run("dlq", "list").stdout
    assert "Refused: no such" in shown
    assert "mailbox" not in shown
    job = document(run("dlq", "show", "d1", "--json"))
    assert (job["reason"], job["last_error"]) == ("rejected", "Refused: no such\nmailbox")
    assert job["payload"] == {"to": "é@x"}
    assert job["history"][0]["attempt"] == 1
    text = run("dlq", "show", "d1").stdout
    for part in ("rejected", "mailbox", "Traceback", '"to": "é@x"', "attempt 1"):
        assert part in text
    missing = run("dlq", "show", "nope")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert f"no job nope in {prefix}" in missing.stderr


def test_commands_that_act_tell_programs_what_they_did(run: Run, queue: RedisJobQueue, prefix: str) -> None:
    for job_id in ("d1", "d2", "d3"):
        bury(queue, job_id)
    refusal = run("dlq", "requeue", "d1", "nope", "--json")
    assert refusal.exit_code == 1
    assert json.loads(refusal.stdout)["requeued"] == ["d1"]
    assert list(json.loads(refusal.stdout)["refused"]) == ["nope"]
    assert document(run("cancel", "d1", "--json")) == {
        "queue": prefix, "id": "d1", "cancelled": True, "running": False,
    }  # fmt: skip
    assert document(run("dlq", "purge", "d2", "--json")) == {"removed": ["d2"], "refused": {}}
    assert document(run("dlq", "requeue", "--all", "--yes", "--json")) == {"queue": prefix, "requeued": 2}
    assert document(run("pause", "--json")) == {"paused": [prefix]}
    assert document(run("resume", "--json")) == {"resumed": [prefix]}
    assert document(run("purge", "--yes", "--json")) == {"queue": prefix, "removed": 2}


def test_dlq_requeue_goes_on_after_a_refusal(run: Run, queue: RedisJobQueue) -> None:
    for job_id in ("d1", "d2", "d3"):
        bury(queue, job_id)
    result = run("dlq", "requeue", "d1", "nope", "d2")
    assert result.exit_code == 1
    assert result.stdout == "requeued d1\nrequeued d2\n"
    assert "1 of 3 jobs were refused" in result.stderr
    assert (queue.stats().ready, queue.stats().dead) == (2, 1)
    assert run("dlq", "requeue", "--all", text="n\n").exit_code == 1
    assert run("dlq", "requeue", "--all", "--yes").stdout == "requeued 1 jobs\n"
    assert queue.stats().dead == 0


def test_dlq_purge(run: Run, queue: RedisJobQueue) -> None:
    for job_id in ("d1", "d2", "d3"):
        bury(queue, job_id)
    assert run("dlq", "purge", "d1").stdout == "removed d1\n"
    again = run("dlq", "purge", "d1")
    assert again.exit_code == 1
    assert "no job d1" in again.stderr
    assert run("dlq", "purge", "--all", "--yes").stdout == "removed 2 jobs\n"
    assert queue.get("d2") is None


def test_wrong_credentials_are_a_configuration_error(server_program: Any, run: Run) -> None:
    with RedisServer(server_program, password="right") as server:
        result = run("status", "--redis-url", f"redis://:wrong@127.0.0.1:{server.port}/0")
    assert result.exit_code == 78
    assert "wrong@" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_commands_work_on_a_cluster(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBS_PREFIX")
    url = f"redis+cluster://127.0.0.1:{cluster.port}"
    assert run("enqueue", "a", "--redis-url", url).stdout == "1\n"
    assert run("enqueue", "a", "-Q", "emails", "--redis-url", url).stdout == "1\n"
    queues = document(run("status", "-Q", "jobs,emails", "--json", "--redis-url", url))["queues"]
    assert [(one["queue"], one["ready"]) for one in queues] == [("{jobs}", 1), ("jobs:{emails}", 1)]
    for name in ("jobs", "emails"):
        run("purge", "-Q", name, "--yes", "--redis-url", url)


def test_the_commands_work_through_a_sentinel_and_a_socket(server_program: Any, run: Run) -> None:
    with RedisServer(server_program) as primary, start_sentinel(primary) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster/1"
        assert run("enqueue", "a", "--redis-url", url).stdout == "1\n"
        [one] = document(run("status", "--json", "--redis-url", f"redis://127.0.0.1:{primary.port}/1"))["queues"]
        assert one["ready"] == 1
        unknown = run("status", "--redis-url", f"redis+sentinel://127.0.0.1:{sentinel.port}/other")
        assert unknown.exit_code == 69
    with RedisServer(server_program, unix_socket=True) as server:
        assert run("enqueue", "a", "--redis-url", server.url).stdout == "1\n"


def test_a_service_of_async_clients_reaches_the_same_servers(server_program: Any, cluster: Cluster) -> None:
    async def ping(url: str) -> Any:
        client: Any = connect_async(parse(url))
        try:
            return await client.ping()
        finally:
            await client.aclose()
            # redis-py leaves the connections to the Sentinels to their owner
            manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
            for asked in manager.sentinels if manager else ():
                await asked.aclose()

    with RedisServer(server_program) as primary, start_sentinel(primary) as sentinel:
        for url in (
            primary.url,
            f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster",
            f"redis+cluster://127.0.0.1:{cluster.port}",
        ):
            assert asyncio.run(ping(url)) is True
