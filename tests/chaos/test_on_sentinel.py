"""`svcjobs worker` on servers that a Sentinel watches: SCENARIO 15, with 1, 2, 4, 5 and 6 in short."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.audit import check_drained
from tests.chaos.checker import Checker, Ending
from tests.chaos.conftest import MakeScene
from tests.chaos.core import CORE, LEASE_SECONDS
from tests.chaos.scene import Scene
from tests.chaos.test_scenarios_server import Stream, consumes_again, processes
from tests.eventually import eventually
from tests.sentinel_set import SentinelSet
from tests.server_program import ServerProgram

pytestmark = [pytest.mark.scenario(15), pytest.mark.server]


@pytest.fixture(scope="module")
def shared_set(server_program: ServerProgram) -> Iterator[SentinelSet]:
    """For tests that promote nobody."""
    with SentinelSet(server_program) as servers:
        yield servers


@pytest.fixture
def own_set(server_program: ServerProgram) -> Iterator[SentinelSet]:
    """For one test that takes its primary away."""
    with SentinelSet(server_program) as servers:
        yield servers


@pytest.mark.parametrize("scenario", CORE)
def test_s15_the_core_scenarios_hold_with_a_sentinel(
    shared_set: SentinelSet, make_scene: MakeScene, scenario: Callable[[Scene], None]
) -> None:
    scenario(make_scene(shared_set, LEASE_SECONDS, shared_set.url))


@pytest.mark.promise("P1")
@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "silent"])
def test_s15_workers_go_on_at_the_promoted_replica_and_no_replicated_job_is_lost(
    own_set: SentinelSet, make_scene: MakeScene, record_property: Callable[[str, object], None], number: signal.Signals
) -> None:
    """Replication is asynchronous: what only the old primary had acknowledged may go with it, and is counted."""
    scene = make_scene(own_set, 10.0, own_set.url)
    scene.worker("-c", "4", "-n", "one")
    before = processes(scene)
    running = scene.enqueue("slow", {"seconds": 3})
    scene.run_number(running, 1)
    waiting = scene.enqueue("delayed", delay_seconds=4)
    with Stream(scene) as stream:
        eventually(lambda: len(stream.stored) > 20)
        replicated = {running, waiting, *stream.stored}
        own_set.wait_for_replica()
        os.kill(own_set.primary.pid, number)
        eventually(own_set.promoted, 40, "the sentinel promotes the replica")
        consumes_again(scene, time.monotonic())
    (found,) = json.loads(scene.fleet.command("workers", "--json"))["workers"]
    assert found["name"].startswith("one:")
    scene.has(ready=0, in_flight=0, delayed=0, dead=0, timeout=40)
    assert processes(scene) == before, "the same processes go on"
    assert [len(scene.runs(job)) for job in (running, waiting)] == [1, 1]
    check_drained(own_set.replica.client(), scene.queue.name)
    checker = Checker(scene.events, Ending({}, scene.queue.stats().totals), scene.fleet.lease_seconds, lossy=True)
    assert checker.findings() == []
    assert replicated.isdisjoint(checker.lost)
    record_property("lost, acknowledged by the old primary alone", len(checker.lost))
