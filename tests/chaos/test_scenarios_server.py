"""A server that goes away, and one that is full: SCENARIOS 1 and 13."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import pytest

from svcjobs.errors import JobsError, QueueFull
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import take_census
from tests.chaos.conftest import MakeScene
from tests.chaos.scene import FULL, Scene
from tests.eventually import eventually
from tests.proxy import RedisProxy
from tests.server_program import ServerProgram
from tests.servers import RedisServer

RECOVERY_SECONDS = 5.0


class Stream:
    """Jobs enqueued one after the other, in a thread."""

    def __init__(self, scene: Scene) -> None:
        self.stored: list[str] = []
        self.refused = 0
        self._scene = scene
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopped.wait(0.02):
            number += 1
            try:
                self.stored.append(self._scene.enqueue("quick", job_id=f"j{number}", max_attempts=100))
            except JobsError:
                self.refused += 1


def consumes_again(scene: Scene, since: float) -> None:
    """A job that is enqueued now starts within 5 s of ``since``."""

    def stored() -> str:
        try:
            return scene.enqueue("quick", max_attempts=100)
        except JobsError as error:
            raise AssertionError(str(error)) from error

    job = eventually(stored, RECOVERY_SECONDS)
    started = scene.run_number(job, 1, RECOVERY_SECONDS + 1).start
    assert started - since < RECOVERY_SECONDS, f"consuming again after {started - since:.1f} s"


def processes(scene: Scene) -> set[int]:
    return {pid for process in scene.fleet.processes for pid in process.members}


def excuse(scene: Scene, since: float) -> None:
    scene.fleet.history.write("excuse", since=since, pids=None)


@pytest.mark.promise("P1")
@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
@pytest.mark.timeout(240)
def test_s01_ten_restarts_under_load_lose_nothing(own_server: RedisServer, make_scene: MakeScene) -> None:
    scene = make_scene(own_server, 3.0)
    for _ in range(2):
        scene.worker("-c", "4")
    before = processes(scene)
    since = time.monotonic()
    with Stream(scene) as stream:
        for number in range(10):
            time.sleep(0.7)
            if number % 2:
                own_server.restart()
            else:
                own_server.kill()
                own_server.start()
            back = time.monotonic()
        consumes_again(scene, back)
    excuse(scene, since)
    scene.has(ready=0, in_flight=0, delayed=0, dead=0)
    assert processes(scene) == before, "the same processes go on"
    assert len(stream.stored) > 20
    scene.judge()


@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
def test_s01_killed_connections_cost_nothing(own_server: RedisServer, make_scene: MakeScene) -> None:
    scene = make_scene(own_server, 5.0)
    worker = scene.worker("-c", "4")
    before = processes(scene)
    with Stream(scene) as stream:
        for _ in range(15 if FULL else 3):
            time.sleep(2)
            own_server.client().client_kill_filter(_type="normal", skipme=True)
        consumes_again(scene, time.monotonic())
    scene.has(ready=0, in_flight=0, delayed=0)
    assert (processes(scene), worker.alive) == (before, True)
    assert (stream.refused, scene.total("stale"), scene.total("reclaimed")) == (0, 0, 0)
    scene.judge()


def black_hole(proxy: RedisProxy) -> Callable[[], None]:
    proxy.black_hole()
    return proxy.pass_through


def half_open(proxy: RedisProxy) -> Callable[[], None]:
    proxy.half_open()
    return lambda: None


@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
@pytest.mark.parametrize("trouble", [black_hole, half_open])
def test_s01_a_network_that_is_silent_for_a_while(
    own_server: RedisServer, make_scene: MakeScene, trouble: Callable[[RedisProxy], Callable[[], None]]
) -> None:
    with RedisProxy(own_server.port) as proxy:
        scene = make_scene(own_server, 3.0, proxy.url)
        scene.worker("-c", "4")
        before = processes(scene)
        since = time.monotonic()
        with Stream(scene) as stream:
            eventually(lambda: stream.stored)
            heal = trouble(proxy)
            time.sleep(60 if FULL else 6)
            heal()
            consumes_again(scene, time.monotonic())
        excuse(scene, since)
        scene.has(ready=0, in_flight=0, delayed=0, dead=0)
        assert processes(scene) == before
        scene.judge()


@pytest.mark.scenario(13)
def test_s13_a_full_server_refuses_an_enqueue_loudly_and_wholly(server_program: ServerProgram, prefix: str) -> None:
    with RedisServer(server_program, maxmemory="3mb") as server:
        client = server.client()
        queue = RedisJobQueue(client, prefix=prefix)
        stored: set[str] = set()

        def fill() -> None:
            for _ in range(10_000):
                stored.add(queue.enqueue("quick", {"filler": "x" * 10_000}).id)

        with pytest.raises(QueueFull):
            fill()
        client.config_set("maxmemory", "0")
        census = take_census(client, prefix)
        assert not census.problems
        assert set(census.ids) == stored
        queue.close()


@pytest.mark.scenario(13)
def test_s13_a_worker_refuses_a_server_that_drops_jobs(server_program: ServerProgram, make_scene: MakeScene) -> None:
    with RedisServer(server_program, policy="allkeys-lru") as server:
        scene = make_scene(server, 3.0)
        refused = scene.fleet.worker()
        assert refused.ends() == 78
        assert "maxmemory-policy is allkeys-lru" in refused.log
        server.client().config_set("maxmemory-policy", "noeviction")
        scene.worker()
