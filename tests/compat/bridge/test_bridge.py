"""What waits at an old broker runs once on svcjobs, whatever becomes of the bridge."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.wire import decode
from tests.compat.bridge.brokers import OldBroker
from tests.compat.bridge.conftest import StartBridge
from tests.compat.bridge.traffic import Runs, drained, send
from tests.eventually import eventually
from tests.servers import RedisServer

MESSAGES = 6000 if os.environ.get("SVCJOBS_FULL") else 1500


@pytest.mark.timeout(180)
def test_five_kills_on_the_way_and_each_id_runs_once(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    ids = send(old, MESSAGES)
    with Runs(moved) as runs:
        for kill in range(5):
            bridge, enough = start_bridge(), MESSAGES * (kill + 1) // 8
            eventually(lambda enough=enough: len(runs.ids) >= enough, timeout=30)
            bridge.kill()
            bridge.wait()
        drained(start_bridge("--drain", "--json"))
        eventually(lambda: set(runs.ids) == ids, timeout=20)
    assert set(runs.ids.values()) == {1}


def test_two_bridges_at_once_move_each_message_once(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    ids = send(old, 500)
    with Runs(moved) as runs:
        for bridge in [start_bridge("--drain", "--json") for _ in range(2)]:
            drained(bridge)
        eventually(lambda: set(runs.ids) == ids)
    assert set(runs.ids.values()) == {1}


def test_an_eta_stays_one(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    eta = datetime.now(UTC) + timedelta(hours=2)
    old.app().send_task("step", (1,), eta=eta)
    (counts,) = drained(start_bridge("--drain", "--json"))["queues"]
    assert counts == {"queue": old.queue, "moved": 1, "delayed": 1, "known": 0, "waiting": 0}
    due_at = moved.stats().next_delayed_at
    assert due_at is not None
    assert abs((due_at - eta).total_seconds()) < 2


def test_a_body_is_moved_unread_and_equal_ones_are_several(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    bodies = [b"\x80\x04nothing that pickle could read", b"\x00\xff", b"\x00\xff"]
    with old.connect() as connection:
        queue = connection.SimpleQueue(old.queue)
        for body in bodies:
            queue.producer.publish(
                body, routing_key=old.queue, exchange=queue.queue.exchange,
                content_type="application/x-python-serialize", content_encoding="binary",
            )  # fmt: skip
        queue.close()
    drained(start_bridge("--drain", "--json"))
    assert [decode(job.payload)["body"] for job in moved.reserve_many(10)] == bodies


def test_it_runs_until_it_is_told_to_stop(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    send(old, 1)
    bridge = start_bridge()
    eventually(lambda: moved.stats().ready == 1)
    send(old, 1)
    eventually(lambda: moved.stats().ready == 2)
    bridge.send_signal(signal.SIGTERM)
    out, err = bridge.communicate(timeout=60)
    assert (bridge.returncode, out) == (0, "moved 2 messages\n"), err


def test_a_terminal_shows_a_table_of_what_is_done(
    old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    send(old, 3)
    ours, theirs = pty.openpty()
    bridge = start_bridge("--drain", screen=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells of the closed end
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert bridge.wait(60) == 0
    lines = [line.split() for line in re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode().splitlines()]
    assert ["Queue", "Moved", "Delayed", "Known", "Waiting"] in lines
    assert [old.queue, "3", "0", "0", "0"] in lines
    assert lines[-1] == ["moved", "3", "messages"]
    assert moved.stats().ready == 3


def test_a_queue_that_isnt_there_is_named(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> None:
    _, err = start_bridge("--drain").communicate(timeout=60)
    assert f"the old broker has no queue {old.queue}" in err


def test_a_source_among_the_keys_of_the_target_is_refused(own_server: RedisServer) -> None:
    command = [sys.executable, "-m", "svcjobs", "bridge", "--from", own_server.url, "--redis-url", own_server.url]
    for options in (["-Q", "jobs:ready"], ["-Q", "ready", "--option", "global_keyprefix=jobs:"]):
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
        assert (done.returncode, "would be the same" in done.stderr) == (78, True)


@pytest.mark.parametrize("url", ["sqs://", "svcjobs://localhost", "nonsense"])
def test_a_broker_that_it_doesnt_speak_to_is_refused(url: str) -> None:
    command = [sys.executable, "-m", "svcjobs", "bridge", "--from", url, "-Q", "q", "--redis-url", "redis://localhost"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "--from is " in done.stderr
