"""Flower as it is on PyPI, on svcjobs://, in front of a worker of each kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.compat.fleet.fleet import Fleet, Worker
from tests.eventually import eventually
from tests.ports import free_port

SECONDS = 30.0


@pytest.fixture(scope="module")
def workers(fleet: Fleet) -> list[Worker]:
    """One of each kind. Each takes tasks from a queue of its own as well."""
    started = [fleet.start(kind, "-Q", f"celery,only_{kind}") for kind in ("celery", "svcjobs")]
    return [worker.ready() for worker in started]


@pytest.fixture(scope="module")
def flower(fleet: Fleet, workers: list[Worker]) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "tests.compat.fleet.proj", "flower"]
    program = fleet.run(*command, "--address=127.0.0.1", f"--port={port}", FLOWER_UNAUTHENTICATED_API="true")
    program.says("Connected to svcjobs://")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
        yield client
    program.process.kill()
    program.process.wait()


def listed(flower: httpx.Client, workers: list[Worker]) -> dict[str, Any]:
    """What Flower knows of the workers, once it has heard of all."""

    def all_known() -> dict[str, Any] | None:
        known: dict[str, Any] = flower.get("/api/workers", params={"refresh": 1}).json()
        complete = {name for name, told in known.items() if "stats" in told and "active_queues" in told}
        return known if complete == {worker.name for worker in workers} else None

    return eventually(all_known, SECONDS) or {}


def test_it_lists_workers_of_both_kinds(flower: httpx.Client, workers: list[Worker]) -> None:
    known = listed(flower, workers)
    theirs, ours = (known[worker.name] for worker in workers)
    assert set(theirs) == set(ours)
    assert set(theirs["stats"]) == set(ours["stats"])
    assert set(theirs["stats"]["pool"]) == set(ours["stats"]["pool"])
    assert [queue["name"] for queue in ours["active_queues"]] == ["celery", "only_svcjobs"]
    assert set(theirs["registered"]) <= set(ours["registered"])
    for worker in workers:
        assert flower.get(f"/worker/{worker.name}").status_code == 200


def test_it_shows_the_tasks_of_both(fleet: Fleet, flower: httpx.Client, workers: list[Worker]) -> None:
    listed(flower, workers)
    for producer in fleet.producers:
        for worker in workers:
            queue = f"only_{worker.kind}"
            done = producer.tasks["proj.where"].apply_async(queue=queue)
            failed = producer.tasks["proj.fail"].apply_async(kwargs={"n": 1}, queue=queue)
            done.get(timeout=SECONDS)
            for result, name, state in ((done, "proj.where", "SUCCESS"), (failed, "proj.fail", "FAILURE")):
                eventually(lambda result=result, state=state: shown(flower, result.id).get("state") == state, SECONDS)
                task = shown(flower, result.id)
                assert (task["worker"], task["name"]) == (worker.name, name)
                assert None not in (task["sent"], task["received"], task["started"])
                assert flower.get(f"/task/{result.id}").status_code == 200


def test_it_revokes_a_running_task_of_each(fleet: Fleet, flower: httpx.Client, workers: list[Worker]) -> None:
    listed(flower, workers)
    for worker in workers:
        result = fleet.celery.tasks["proj.sleep"].apply_async((60,), queue=f"only_{worker.kind}")
        eventually(lambda result=result: shown(flower, result.id).get("state") == "STARTED", SECONDS)
        flower.post(f"/api/task/revoke/{result.id}", params={"terminate": "true"}).raise_for_status()
        eventually(lambda result=result: shown(flower, result.id).get("state") == "REVOKED", SECONDS)
        # real Celery tells of it first and stores it then
        eventually(lambda result=result: result.state == "REVOKED", SECONDS)


def test_its_metrics_count_the_tasks_of_both(fleet: Fleet, flower: httpx.Client, workers: list[Worker]) -> None:
    listed(flower, workers)
    for worker in workers:
        fleet.svcjobs.tasks["proj.where"].apply_async(queue=f"only_{worker.kind}").get(timeout=SECONDS)
        line = f'flower_events_total{{task="proj.where",type="task-succeeded",worker="{worker.name}"}}'
        eventually(lambda line=line: line in flower.get("/metrics").text, SECONDS)


def shown(flower: httpx.Client, task_id: str) -> dict[str, Any]:
    """A task as Flower's API tells of it; empty before it has heard of it."""
    answer = flower.get(f"/api/task/info/{task_id}")
    told: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return told
