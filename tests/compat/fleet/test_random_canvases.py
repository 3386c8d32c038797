"""Random canvases on a fleet of both kinds come out as on Celery alone, whoever is stopped or killed on the way.

``SVCJOBS_FULL=1`` makes it 500 canvases and many more kills; that takes minutes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.fleet.canvases import Maker, Outcomes, Spec
from tests.compat.fleet.fleet import ROOT, Fleet
from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import RedisServer

FULL = bool(os.environ.get("SVCJOBS_FULL"))
CANVASES = 500 if FULL else 40
DISTURBANCES = 60 if FULL else 3
SECONDS = 300.0 if FULL else 60.0
SEED = 6

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


@pytest.fixture
def fleet(server_program: ServerProgram, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of the test's own, whose server keeps the notes of no other."""
    with RedisServer(server_program) as server:
        fleet = Fleet(server, tmp_path)
        yield fleet
        fleet.close()


def begin(fleet: Fleet, package: str, specs: list[Spec]) -> list[tuple[Spec, Any]]:
    """Let a process send canvases with a package; returns each with its result, as a tuple of ids (``as_tuple``)."""
    sender = subprocess.run(
        [sys.executable, "-m", "tests.compat.fleet.canvases", package],
        input=json.dumps(specs), env=fleet.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return list(zip(specs, json.loads(sender.stdout), strict=True))


def outcome(backend: Any, node: Any) -> Any:
    """A value, the name of an exception or of a state, or a list of them for a group."""
    (task_id, _parent), members = node
    if members is not None:
        return [outcome(backend, member) for member in members]
    meta = backend.get_task_meta(task_id)
    if meta["status"] == "FAILURE":
        return type(meta["result"]).__name__
    return meta["result"] if meta["status"] == "SUCCESS" else meta["status"]


def come_out_as_expected(fleet: Fleet, sent: list[tuple[Spec, Any]]) -> None:
    """Wait until each canvas has the outcome that is expected, and all links have run."""
    backend = fleet.svcjobs.backend
    outcomes = Outcomes()
    waiting = [(spec, result, outcomes.of(spec)) for spec, result in sent]

    def all_done() -> bool:
        waiting[:] = [each for each in waiting if outcome(backend, each[1]) != each[2]]
        assert not waiting, [(spec, outcome(backend, result), expected) for spec, result, expected in waiting[:3]]
        noted: Any = fleet.client.smembers("notes")
        assert {tuple(json.loads(note)) for note in noted} == outcomes.notes
        return True

    eventually(all_done, SECONDS)


def disturb(fleet: Fleet, rng: random.Random) -> None:
    """Stop or kill a worker, and start one in its place; of each kind there is always one."""
    victim = fleet.workers.pop(rng.randrange(len(fleet.workers)))
    rng.choice([victim.stop, victim.kill])()
    missing = {"celery", "svcjobs"} - {worker.kind for worker in fleet.workers}
    fleet.start(*(missing or [rng.choice(["celery", "svcjobs"])])).ready()
    victim.process.wait(30)


def test_what_is_expected_is_what_celery_alone_gives(fleet: Fleet) -> None:
    specs = Maker(SEED).canvases(CANVASES)
    fleet.start("celery", "-c", "2").ready()
    come_out_as_expected(fleet, begin(fleet, "celery", specs))


def test_a_disturbed_fleet_of_both_kinds_gives_the_same(fleet: Fleet) -> None:
    rng = random.Random(SEED)
    specs = Maker(SEED).canvases(CANVASES)
    for worker in [fleet.start(kind) for kind in ("celery", "svcjobs", "svcjobs")]:
        worker.ready()
    sent = begin(fleet, "celery", specs[::2]) + begin(fleet, "svcjobs_celery_compat", specs[1::2])
    for _ in range(DISTURBANCES):
        time.sleep(rng.random())  # tasks run meanwhile
        disturb(fleet, rng)
    come_out_as_expected(fleet, sent)
