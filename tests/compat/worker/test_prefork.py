"""What one worker with two processes does with tasks, and with commands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from svcjobs_celery_compat import chain, chord, group
from svcjobs_celery_compat.exceptions import (
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)
from tests.compat.worker.conftest import Worker
from tests.compat.worker.kills import kill_processes
from tests.eventually import eventually

SECONDS = 30.0
QUEUE = "jobs:{celery}"


@pytest.fixture(scope="module", autouse=True)
def worker(start: Callable[..., Worker]) -> Worker:
    return start("w1", "-c", "2").ready()


def dead(client: redis.Redis, task: str) -> list[dict[str, str]]:
    """The dead letters of a task."""
    ids: Any = client.lrange(f"{QUEUE}:dlq", 0, -1)
    hashes: list[Any] = [client.hgetall(f"{QUEUE}:job:{job_id.decode()}") for job_id in ids]
    jobs = [{key.decode(): value.decode() for key, value in fields.items()} for fields in hashes]
    return [job for job in jobs if job["name"] == f"tests.compat.worker.program.{task}"]


def test_tasks_run_in_child_processes(program: Any, worker: Worker) -> None:
    pids = {program.pid.delay().get(timeout=SECONDS) for _ in range(4)}
    assert not pids & {os.getpid(), worker.process.pid}


def test_canvases_and_retries(program: Any) -> None:
    add, total = program.add, program.total
    assert chain(add.s(1, 2), add.s(3), add.s(4)).delay().get(timeout=SECONDS) == 10
    assert group(add.s(n, n) for n in range(3)).delay().get(timeout=SECONDS) == [0, 2, 4]
    assert chord([add.s(n, n) for n in range(4)], total.s()).delay().get(timeout=SECONDS) == 12
    assert program.retried.delay(2).get(timeout=SECONDS) == 2


def test_a_failure_leaves_a_copy_in_the_dead_letter_queue(program: Any, client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="on purpose"):
        program.fail.delay().get(timeout=SECONDS)
    [job] = dead(client, "fail")
    assert job["reason"] == "failed"
    assert "on purpose" in job["traceback"]
    with pytest.raises(KeyError):
        program.expected.delay().get(timeout=SECONDS)
    assert not dead(client, "expected")


@pytest.mark.scenario(26)
def test_an_exception_that_cant_be_serialised_is_a_readable_failure(program: Any) -> None:
    for task in (program.stubborn, program.stubborn_again):
        result = task.delay()
        with pytest.raises(Exception, match="Stubborn"):
            result.get(timeout=SECONDS)
        assert result.state == "FAILURE"
        assert "Stubborn" in result.traceback
    assert program.add.delay(1, 1).get(timeout=SECONDS) == 2


def test_a_failure_is_told_once(program: Any, worker: Worker) -> None:
    result = program.fail.delay()
    with pytest.raises(Exception):  # noqa: B017 - whatever it is
        result.get(timeout=SECONDS)
    eventually(lambda: f"Task {program.fail.name}[{result.id}] raised" in worker.log.read_text(), SECONDS)
    errors = [line for line in worker.log.read_text().splitlines() if "ERROR" in line and program.fail.name in line]
    assert len([line for line in errors if result.id in line]) == 1
    assert not [line for line in errors if "dead letter queue" in line]


def test_reject_and_ignore(program: Any) -> None:
    assert program.rejected_once.delay().get(timeout=SECONDS) == "second"
    ignored = program.ignored.delay()
    assert program.add.delay(1, 1).get(timeout=SECONDS) == 2
    assert ignored.state == "PENDING"


@pytest.mark.alone
def test_time_limits(program: Any, client: redis.Redis) -> None:
    assert program.soft.delay().get(timeout=SECONDS) == "cleaned up"
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded):
        program.hard.delay().get(timeout=SECONDS)
    assert time.monotonic() - began < 6
    assert dead(client, "hard")[0]["reason"] == "failed"


@pytest.mark.alone
@pytest.mark.parametrize("name", ["hard_in_c", "hard_in_c_late"])
def test_a_time_limit_holds_where_no_other_thread_gets_a_turn(program: Any, client: redis.Redis, name: str) -> None:
    result = getattr(program, name).delay()
    with pytest.raises(TimeLimitExceeded, match=r"TimeLimitExceeded\(1,\)"):
        result.get(timeout=SECONDS)
    assert dead(client, name)[0]["reason"] == "failed"


@pytest.mark.alone
@pytest.mark.scenario(2)
def test_a_task_that_acks_late_runs_again_when_its_process_was_killed(program: Any, client: redis.Redis) -> None:
    began = time.monotonic()
    result = program.killed_once.delay("scenario2")
    assert result.get(timeout=SECONDS) == "survived"
    assert time.monotonic() - began <= 5 + 2
    assert client.llen("notes:scenario2") == 2


def test_a_task_that_acks_early_fails_when_its_process_was_killed(program: Any, client: redis.Redis) -> None:
    with pytest.raises(WorkerLostError):
        program.killed_early.delay().get(timeout=SECONDS)
    assert client.llen("notes:early") == 1
    assert dead(client, "killed_early")[0]["reason"] == "worker_lost"


@pytest.mark.scenario(9)
def test_poison_starts_three_times_and_is_dead(program: Any, client: redis.Redis) -> None:
    result = program.poison.delay()
    others = [program.add.delay(n, n) for n in range(10)]
    with pytest.raises(WorkerLostError):
        result.get(timeout=SECONDS)
    assert client.llen("notes:poison") == 3
    assert dead(client, "poison")[0]["reason"] == "worker_lost"
    assert [other.get(timeout=SECONDS) for other in others] == [2 * n for n in range(10)]


@pytest.mark.alone
@pytest.mark.scenario(24)
def test_a_rate_limit_keeps_no_other_task_waiting(program: Any) -> None:
    limited = [program.limited.delay(n) for n in range(5)]
    began = time.monotonic()
    assert [program.add.delay(n, 1).get(timeout=SECONDS) for n in range(5)] == [1, 2, 3, 4, 5]
    assert time.monotonic() - began < 2
    starts = sorted(result.get(timeout=SECONDS) for result in limited)
    assert starts[-1] - starts[0] >= 4 / 2 - 0.1
    assert starts[-1] - starts[0] < 4


def test_inspection_tells_of_all_processes(program: Any, worker: Worker) -> None:
    inspect = program.app.control.inspect(timeout=SECONDS, destination=[worker.name])
    running = [program.held.delay("let both go") for _ in range(2)]
    eventually(lambda: len((inspect.active() or {}).get(worker.name, ())) == 2, SECONDS)
    active = inspect.active()[worker.name]
    assert {task["id"] for task in active} == {result.id for result in running}
    assert len({task["worker_pid"] for task in active}) == 2
    stats = inspect.stats()[worker.name]
    assert sorted(stats["pool"]["processes"]) == sorted({task["worker_pid"] for task in active})
    assert stats["total"]["tests.compat.worker.program.held"] >= 2
    assert "tests.compat.worker.program.add" in inspect.registered()[worker.name]
    program.note("let both go")
    assert [result.get(timeout=SECONDS) for result in running] == ["let both go"] * 2


def test_revoke_terminates_a_running_task(program: Any, worker: Worker) -> None:
    result = program.sleep.delay(60)
    inspect = program.app.control.inspect(timeout=SECONDS, destination=[worker.name])
    eventually(lambda: (inspect.query_task(result.id) or {}).get(worker.name, {}).get(result.id), SECONDS)
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=SECONDS)
    assert program.add.delay(1, 1).get(timeout=SECONDS) == 2


def test_events_of_tasks_and_of_the_worker(program: Any, worker: Worker) -> None:
    program.app.control.enable_events(reply=True, timeout=2)
    seen: list[Any] = []
    wanted = {"task-received", "task-started", "task-succeeded", "worker-heartbeat"}

    def note(event: Any) -> None:
        if not seen:  # it listens now
            program.add.delay(2, 2)
        seen.append(event)
        receiver.should_stop = wanted <= {each["type"] for each in seen}

    with program.app.connection_for_read() as connection:
        receiver = program.app.events.Receiver(connection, handlers={"*": note})
        receiver.capture(limit=None, timeout=SECONDS, wakeup=True)
    assert receiver.should_stop
    assert {event["hostname"] for event in seen if event["type"].startswith(("worker-", "task-st"))} == {worker.name}


def test_queues_limits_and_rates_change_while_it_runs(program: Any, worker: Worker) -> None:
    remote = {"destination": [worker.name], "reply": True, "timeout": SECONDS}
    assert program.app.control.add_consumer("extra", **remote) == [{worker.name: {"ok": "add consumer extra"}}]
    assert program.add.apply_async((1, 2), queue="extra").get(timeout=SECONDS) == 3
    inspect = program.app.control.inspect(timeout=SECONDS, destination=[worker.name])
    names = {queue["name"] for queue in inspect.active_queues()[worker.name]}
    assert names == {"celery", "extra"}
    assert "no longer" in str(program.app.control.cancel_consumer("extra", **remote))
    assert "ok" in str(program.app.control.time_limit(program.sleep.name, soft=0.5, **remote))
    with pytest.raises(SoftTimeLimitExceeded):
        program.sleep.delay(20).get(timeout=SECONDS)
    assert "ok" in str(program.app.control.time_limit(program.sleep.name, **remote))
    assert "ok" in str(program.app.control.rate_limit(program.add.name, "100/s", **remote))
    assert program.add.delay(1, 2).get(timeout=SECONDS) == 3


@pytest.mark.alone
@pytest.mark.scenario(28)
def test_a_chord_fires_once_although_processes_are_killed(program: Any, client: redis.Redis, worker: Worker) -> None:
    members = 200
    result = chord([program.part.s(n) for n in range(members)], program.total.s()).delay()
    kill_processes(program, worker, 3)
    assert result.get(timeout=60) == sum(range(members))
    fired: Any = client.lrange("notes:total", 0, -1)
    assert [entry.decode() for entry in fired].count(str(sum(range(members)))) == 1


def test_sigterm_ends_the_worker_and_gives_back_nothing_it_runs(program: Any, start: Callable[..., Worker]) -> None:
    worker = start("w2", "-c", "1", "-Q", "other").ready()
    result = program.sleep.apply_async((4,), queue="other")  # less than the grace
    inspect = program.app.control.inspect(timeout=SECONDS, destination=[worker.name])
    eventually(lambda: (inspect.query_task(result.id) or {}).get(worker.name, {}).get(result.id), SECONDS)
    worker.stop()
    assert result.get(timeout=SECONDS) == 4


def test_each_process_has_a_log_file_of_its_own_if_its_name_says_so(
    program: Any, start: Callable[..., Worker], tmp_path: Path
) -> None:
    worker = start("files", "-c", "2", "-P", "prefork", "-Q", "files", "-f", f"{tmp_path}/%n%I.log").ready()
    for result in [program.tells.apply_async(queue="files") for _ in range(8)]:
        result.get(timeout=SECONDS)
    worker.stop()
    logs = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(logs) == {"files.log", "files-1.log", "files-2.log"}
    assert "ready." in logs["files.log"]
    assert "by the task's logger" not in logs["files.log"]
    for number in (1, 2):
        lines = logs[f"files-{number}.log"].splitlines()
        assert {line.split("]")[0].split("/")[-1] for line in lines} == {f"ForkPoolWorker-{number}"}
    assert sum(text.count("by the task's logger") for text in logs.values()) == 8
