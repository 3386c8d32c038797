"""Celery, as it comes, on svcjobs://: producers, workers, remote control."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import celery
import pytest
import redis

import svcjobs_celery_compat
from svcjobs.redis_queue import RedisJobQueue
from tests.compat.transport.celery_fleet import CeleryFleet
from tests.eventually import eventually
from tests.servers import RedisServer

OpenFleet = Callable[..., CeleryFleet]


@pytest.fixture
def fleet(redis_server: RedisServer, broker_url: str, options: dict[str, Any], tmp_path: Path) -> Iterator[OpenFleet]:
    """Opens a fleet with transport options of its own; it is stopped after the test."""
    fleets = []

    def open_fleet(settings: dict[str, Any] | None = None, **transport: Any) -> CeleryFleet:
        made = CeleryFleet(
            tmp_path,
            broker_url,
            redis_server.url,
            broker_transport_options=options | {"visibility_timeout": 3} | transport,
            result_backend_transport_options={"global_keyprefix": options["global_keyprefix"]},
            **(settings or {}),
        )
        fleets.append(made)
        return made

    yield open_fleet
    for made in fleets:
        made.close()


@pytest.fixture
def stored(redis_client: redis.Redis, options: dict[str, Any]) -> RedisJobQueue:
    """The engine's view of Celery's default queue."""
    return RedisJobQueue(redis_client, prefix=f"{options['global_keyprefix']}jobs:{{celery}}")


def test_installing_is_enough_for_an_app_and_for_the_command_line(redis_server: RedisServer, tmp_path: Path) -> None:
    code = "from celery import Celery; print(Celery(broker='svcjobs://h:1/2').connection().transport.driver_name)"
    for command in ([sys.executable, "-c", code], [sys.executable, "-m", "celery", "-b", "svcjobs://h", "--version"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "svcjobs"


def test_tasks_groups_retries_and_remote_control(fleet: OpenFleet, stored: RedisJobQueue) -> None:
    crew = fleet()
    crew.start(concurrency=2)
    app = crew.app
    assert app.send_task("add", (2, 3)).get(timeout=20) == 5
    results = [app.send_task("add", (n, 1)) for n in range(30)]
    assert [result.get(timeout=20) for result in results] == list(range(1, 31))
    assert app.send_task("again").get(timeout=20) == "done"
    assert crew.notes.count("again 2") == 1
    eventually(lambda: app.control.ping(timeout=3) == [{"worker0@here": {"ok": "pong"}}])
    eventually(lambda: "worker0@here" in (app.control.inspect(timeout=3).stats() or {}))
    with app.connection_for_write() as connection:
        assert connection.default_channel.queue_declare("celery", passive=True).message_count == 0
    stats = eventually(lambda: (now := stored.stats()).in_flight == 0 and now)
    assert stats.totals["acked"] == stats.totals["enqueued"]


def test_workers_find_each_other_and_send_events(fleet: OpenFleet) -> None:
    crew = fleet()
    crew.start("-E")
    crew.start("-E", pool="threads", concurrency=2)
    eventually(lambda: "mingle: sync complete" in crew.log(1), 20, crew.log(1))
    eventually(lambda: len(crew.app.control.ping(timeout=3)) == 2)
    seen: list[str] = []
    with crew.app.connection_for_read() as connection:
        receiver = crew.app.events.Receiver(connection, handlers={"*": lambda event: seen.append(event["type"])})
        with receiver.consumer_context(wakeup=False) as (hearing, *_):
            result = crew.app.send_task("add", (1, 2))
            eventually(lambda: hearing.drain_events(timeout=20) or "task-succeeded" in seen, 20)
        assert result.get(timeout=20) == 3
    assert {"task-received", "task-started", "task-succeeded"} <= set(seen)
    crew.app.control.broadcast("shutdown")
    assert [crew.ended(worker) for worker in crew.workers] == [0, 0]


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_countdown_longer_than_the_lease_runs_once(fleet: OpenFleet, stored: RedisJobQueue) -> None:
    crew = fleet()
    crew.start()
    crew.start(pool="solo")
    due_at = time.time() + 12
    result = crew.app.send_task("add", (1, 1), countdown=12)
    eventually(lambda: stored.stats().delayed == 1)
    assert result.get(timeout=30) == 2
    time.sleep(4)
    assert crew.notes == ["add 1"]
    assert 0 <= crew.times[0][0] - due_at < 2
    assert stored.stats().totals["reclaimed"] == 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_task_longer_than_the_lease_runs_once(fleet: OpenFleet, stored: RedisJobQueue, pool: str) -> None:
    crew = fleet({"task_acks_late": True}, visibility_timeout=5)
    crew.start(pool=pool)
    result = crew.app.send_task("spin", (11,))
    crew.noted("spin begins")
    crew.start(pool="solo")
    result.get(timeout=60)
    eventually(lambda: stored.stats().in_flight == 0)
    assert crew.notes == ["spin begins", "spin ends"]
    assert stored.stats().totals["reclaimed"] == 0


@pytest.mark.timeout(240)
def test_a_consumer_that_is_stopped_and_killed_loses_nothing(fleet: OpenFleet, stored: RedisJobQueue) -> None:
    crew = fleet()
    first = crew.start(pool="solo")
    assert crew.app.send_task("add", (0, 0)).get(timeout=20) == 0
    eventually(lambda: stored.stats().totals["acked"] == 1)
    time.sleep(0.5)  # it waits
    os.killpg(first.pid, signal.SIGSTOP)
    sent = [crew.app.send_task("add", (n, 0)) for n in range(1, 4)]
    crew.kill(first)
    crew.start(pool="solo")
    assert [result.get(timeout=20) for result in sent] == [1, 2, 3]
    assert sorted(crew.notes) == ["add 0", "add 1", "add 2", "add 3"]


@pytest.mark.timeout(600)
def test_every_task_is_run_through_kills(fleet: OpenFleet, stored: RedisJobQueue) -> None:
    tasks = 6000 if os.environ.get("SVCJOBS_FULL") else 600
    crew = fleet(visibility_timeout=2)
    worker = crew.start(concurrency=2)
    for n in range(tasks):
        crew.app.send_task("step", (n,), ignore_result=True)
    for kill in range(1, 4):
        eventually(lambda count=kill: len(set(crew.notes)) >= tasks * count // 5, 120)
        crew.kill(worker)
        worker = crew.start(concurrency=2)
    eventually(lambda: len(set(crew.notes)) == tasks, 180, crew.log()[-2000:])
    eventually(lambda: stored.stats().in_flight == 0, 20)
    assert stored.stats().dead == 0


def test_a_worker_gives_back_what_it_hasnt_begun(fleet: OpenFleet, stored: RedisJobQueue) -> None:
    crew = fleet({"task_acks_late": True})
    worker = crew.start()
    sent = [crew.app.send_task("spin", (3,)) for _ in range(3)]
    # A task has begun some milliseconds before the worker's main process hears of it. When it is to stop just then, it
    # waits for no result, on any broker: the child waits 30 s in vain for its own to be read, and the task runs again.
    control = crew.app.control.inspect(["worker0@here"], timeout=3)
    eventually(lambda: (control.active() or {}).get("worker0@here"), 30, crew.log())
    eventually(lambda: crew.log().count("] received") == len(sent))
    worker.terminate()
    crew.ended(worker)
    stats = stored.stats()
    assert stats.in_flight == 0
    assert stats.ready + crew.notes.count("spin ends") == len(sent)
    assert stats.ready > 0


def test_a_worker_goes_on_after_its_server_was_away(
    own_server: RedisServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    crew = CeleryFleet(
        tmp_path, f"svcjobs://127.0.0.1:{own_server.port}", "cache+memory://", broker_transport_options=options
    )
    try:
        worker = crew.start(pool="threads")
        crew.app.send_task("add", (1, 1), ignore_result=True)
        crew.noted("add 1")
        for n in range(2, 4):
            own_server.kill()
            time.sleep(4)
            own_server.restart()
            crew.app.send_task("add", (n, 1), ignore_result=True)
            crew.noted(f"add {n}")
        assert worker.poll() is None
        assert crew.notes == ["add 1", "add 2", "add 3"]
    finally:
        crew.close()


@pytest.mark.timeout(240)
def test_a_task_that_runs_through_an_outage_runs_once(
    own_server: RedisServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    crew = CeleryFleet(
        tmp_path,
        f"svcjobs://127.0.0.1:{own_server.port}",
        "cache+memory://",
        broker_transport_options=options | {"visibility_timeout": 8, "socket_timeout": 0.4},
        task_acks_late=True,
    )
    try:
        crew.start()
        crew.app.send_task("spin", (13,), ignore_result=True)
        crew.noted("spin begins")
        own_server.kill()
        eventually(lambda: "Connection to broker lost" in crew.log(), 20)
        own_server.restart()
        crew.start(pool="solo")
        crew.noted("spin ends")
        client, prefix = own_server.client(), f"{options['global_keyprefix']}jobs:{{celery}}"
        if celery.VERSION >= (5, 6):  # older ones never ack what ran while they connected again, on no broker
            eventually(lambda: client.hget(f"{prefix}:counters", "acked") == b"1", 20, crew.log()[-3000:])
        assert crew.notes == ["spin begins", "spin ends"]
        assert not client.hexists(f"{prefix}:counters", "reclaimed")
    finally:
        crew.close()


def test_delayed_tasks_are_listed_as_scheduled(fleet: OpenFleet) -> None:
    crew = fleet()
    crew.start(pool="solo")
    later = crew.app.send_task("add", (1, 2), {"z": 3}, countdown=600, priority=3)
    soon = crew.app.send_task("add", (3, 4), countdown=300, serializer="pickle")
    assert crew.app.send_task("add", (0, 1)).get(timeout=20) == 1
    told = eventually(lambda: crew.app.control.inspect(timeout=3).scheduled())
    (entries,) = told.values()
    assert [entry["request"]["id"] for entry in entries] == [soon.id, later.id]
    assert entries[1]["request"] == {
        "id": later.id, "name": "add", "type": "add", "args": [1, 2], "kwargs": {"z": 3}, "hostname": "worker0@here",
        "time_start": None, "acknowledged": False, "worker_pid": None,
        "delivery_info": {"exchange": "", "routing_key": "celery", "priority": 3, "redelivered": False},
    }  # fmt: skip
    assert entries[0]["request"]["args"] == "(3, 4)"  # as its sender described it: nothing is unpickled for that
    assert 500 < (datetime.fromisoformat(entries[1]["eta"]) - datetime.now(UTC)).total_seconds() <= 600


def test_a_worker_of_celery_runs_what_the_facade_sent(fleet: OpenFleet, stored: RedisJobQueue) -> None:
    crew = fleet()
    ours = svcjobs_celery_compat.Celery("ours", broker=crew.app.conf.broker_url, backend=crew.app.conf.result_backend)
    for setting in ("broker_transport_options", "result_backend_transport_options"):
        ours.conf[setting] = crew.app.conf[setting]
    sent = [app.send_task("add", (2, 3)) for app in (ours, crew.app)]
    payloads = []
    for number in ("1", "2"):
        job = stored.get(number)
        assert job
        headers, properties = job.payload["_kombu"]["headers"], job.payload["_kombu"]["properties"]
        for differing in (headers.pop("id"), headers.pop("root_id"), properties.pop("correlation_id")):
            assert differing == sent[int(number) - 1].id
        assert properties.pop("reply_to")
        if celery.VERSION < (5, 7):  # older ones say False where 5.7 and ours say that nothing was said
            assert headers.pop("ignore_result") in (False, None)
        payloads.append((job.name, job.payload))
    assert payloads[0] == payloads[1]
    crew.start(pool="solo")
    assert [result.get(timeout=20) for result in sent] == [5, 5]
    ours.close()
