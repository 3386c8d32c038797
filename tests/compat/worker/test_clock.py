"""The events of a worker's processes are in one order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from svcjobs_celery_compat.worker.logical_clock import SharedClock, clock_places
from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 40.0


def test_events_of_all_processes_follow_one_clock(start: Callable[..., Worker], program: Any) -> None:
    worker = start("ordered", "-c", "2", "-E", "-Q", "ordered").ready()
    events: list[dict[str, Any]] = []
    connection = program.app.connection()
    receiver = program.app.events.Receiver(connection, handlers={"*": events.append})
    listening = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None}, daemon=True)
    listening.start()
    eventually(lambda: any(event["type"] == "worker-heartbeat" for event in events), SECONDS)
    tasks: list[Any] = []
    pids: set[int] = set()

    def enough() -> bool:
        """One more task, after the last one, in whichever process is free."""
        tasks.append(program.pid.apply_async(queue="ordered"))
        pids.add(tasks[-1].get(timeout=SECONDS))
        if len(tasks) % 5 == 1:  # the process that answers has its part in it
            program.app.control.inspect(destination=[worker.name], limit=1).ping()
        return len(tasks) >= 20 and len(pids) == 2

    eventually(enough, SECONDS, "both have run some")

    def clocks() -> list[int]:
        ends = {event["uuid"]: event["clock"] for event in list(events) if event["type"] == "task-succeeded"}
        return [ends[task.id] for task in tasks if task.id in ends]

    eventually(lambda: len(clocks()) == len(tasks), SECONDS)
    assert clocks() == sorted(set(clocks()))
    by_uuid = {
        task.id: {event["type"]: event["clock"] for event in events if event.get("uuid") == task.id} for task in tasks
    }
    for seen in by_uuid.values():
        assert seen["task-received"] < seen["task-started"] < seen["task-succeeded"]
    receiver.should_stop = True
    connection.release()
    listening.join(10)


def test_a_process_goes_on_from_what_another_has_reached_and_one_that_is_new_too() -> None:
    places = clock_places(3)
    ours = SharedClock(places, 0)
    ours.adjust(40)
    if (child := os.fork()) == 0:
        theirs = SharedClock(places, 1)
        os._exit(0 if [theirs.forward(), theirs.adjust(7), theirs.adjust(90)] == [42, 43, 91] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ours.value == 91
    assert ours.forward() == 92
    assert SharedClock(places, 1).forward() == 93
    assert str(ours) == "93"
