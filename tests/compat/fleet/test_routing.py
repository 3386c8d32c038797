"""``svcjobs migrate route`` while a fleet runs: producers of both kinds obey, and go back."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from typing import Any

import pytest

from svcjobs_celery_compat.migrate.routing.route import Route, Side
from tests.compat.fleet.fleet import Fleet, Worker
from tests.compat.program import SVCJOBS
from tests.eventually import eventually

SECONDS = 30.0
OBEYED_SECONDS = 5.0


@pytest.fixture(scope="module")
def workers(fleet: Fleet) -> list[Worker]:
    """Each takes what goes to its side; that of Celery takes what all may take as well."""
    queues = {"celery": "celery,shared,celery.celery,shared.celery", "svcjobs": "celery.svcjobs,shared.svcjobs"}
    return [worker.ready() for worker in [fleet.start(kind, "-Q", queues[kind]) for kind in queues]]


def told(fleet: Fleet, *arguments: str) -> Any:
    command = [SVCJOBS, *arguments, "--json", "--redis-url", fleet.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def route(fleet: Fleet, *arguments: str) -> Any:
    return told(fleet, "migrate", "route", *arguments)["routes"]


def where(producer: Any, **options: Any) -> str:
    return str(producer.tasks["proj.where"].apply_async(**options).get(timeout=SECONDS))


def sent_to(fleet: Fleet, queue: str) -> int:
    """How many tasks were ever sent to a queue."""
    return int(fleet.client.get(f"jobs:{{{queue}}}:seq") or 0)


def test_both_producers_obey_within_five_seconds_and_go_back(fleet: Fleet, workers: list[Worker]) -> None:
    def all_run_on(kind: str) -> bool:
        return {where(producer, **queue) for producer in fleet.producers for queue in ({}, {"queue": "shared"})} == {
            kind
        }

    assert all_run_on("celery")
    route(fleet, "proj.*", "--to", "svcjobs")
    eventually(lambda: all_run_on("svcjobs_celery_compat"), OBEYED_SECONDS)
    assert route(fleet, "--back") == []
    eventually(lambda: all_run_on("celery"), OBEYED_SECONDS)


def test_retries_and_what_follows_go_the_same_way(fleet: Fleet, workers: list[Worker]) -> None:
    half = Route("proj.again", Side.SVCJOBS, 50)
    route(fleet, "proj.again", "--to", "svcjobs", "--percent", "50", "--force")
    route(fleet, "proj.mix", "--to", "celery", "--force")
    time.sleep(OBEYED_SECONDS)  # what is promised
    before = {side: sent_to(fleet, f"celery.{side}") for side in Side}
    all_ids = [uuid.UUID(int=number).hex for number in range(12)]
    for producer, ids in zip(fleet.producers, (all_ids[:6], all_ids[6:]), strict=True):
        chains = [producer.tasks["proj.again"].s(n=1).set(task_id=task_id) for task_id in ids]
        for result in [(first | producer.tasks["proj.mix"].s(n=1)).apply_async() for first in chains]:
            result.get(timeout=SECONDS)
    taken = [task_id for task_id in all_ids if half.takes(task_id)]
    assert 0 < len(taken) < len(all_ids)
    # each has two retries
    assert sent_to(fleet, "celery.svcjobs") - before[Side.SVCJOBS] == 3 * len(taken)
    assert sent_to(fleet, "celery.celery") - before[Side.CELERY] == len(all_ids)
    route(fleet, "proj.again", "--remove")
    assert route(fleet, "proj.mix", "--remove") == []


def test_status_counts_what_waits_wherever_the_task_is_sent(fleet: Fleet, workers: list[Worker]) -> None:
    def waiting() -> int | None:
        (task,) = (each for each in told(fleet, "migrate", "status")["tasks"] if each["task"] == "proj.where")
        return task["waiting"]  # type: ignore[no-any-return]

    for producer in fleet.producers:
        where(producer)
    eventually(lambda: waiting() == 0, SECONDS)
    queues = "celery,celery.svcjobs"
    told(fleet, "pause", "-Q", queues)
    results = [producer.tasks["proj.where"].delay() for producer in fleet.producers for _ in range(3)]
    results.append(fleet.producers[0].tasks["proj.where"].apply_async(countdown=2, queue="celery.svcjobs"))
    eventually(lambda: waiting() == len(results), SECONDS)
    told(fleet, "resume", "-Q", queues)
    for result in results:
        result.get(timeout=SECONDS)
    eventually(lambda: waiting() == 0, SECONDS)
