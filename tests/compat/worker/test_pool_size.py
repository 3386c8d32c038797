"""How many tasks a worker runs at once changes while it runs: by remote control, and by its load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 30.0


class Pool:
    """A worker on a queue of its own, and what remote control says of it."""

    def __init__(self, program: Any, worker: Worker, queue: str) -> None:
        self.program = program
        self.worker = worker
        self.queue = queue
        # its answer ends the wait
        self.inspect = program.app.control.inspect(timeout=SECONDS, destination=[worker.name])

    def sleep(self, seconds: float, queue: str | None = None) -> Any:
        return self.program.sleep.apply_async((seconds,), queue=queue or self.queue)

    def hold(self, queue: str | None = None) -> Any:
        """A task that runs until :meth:`let_go`."""
        return self.program.held.apply_async((f"let {self.queue} go",), queue=queue or self.queue)

    def let_go(self) -> None:
        self.program.note(f"let {self.queue} go")

    @property
    def running(self) -> int:
        return len((self.inspect.active() or {}).get(self.worker.name, ()))

    @property
    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = (self.inspect.stats() or {}).get(self.worker.name, {})
        return found

    @property
    def processes(self) -> int:
        return len(self.stats.get("pool", {}).get("processes", ()))

    def control(self, command: str, **arguments: Any) -> Any:
        answers = self.program.app.control.broadcast(
            command, arguments=arguments, destination=[self.worker.name], reply=True, timeout=SECONDS, limit=1
        )
        [answer] = answers
        return answer[self.worker.name]


@pytest.fixture
def start_pool(start: Callable[..., Worker], program: Any) -> Callable[..., Pool]:
    def start_pool(name: str, *flags: str, **environment: str) -> Pool:
        return Pool(program, start(name, "-Q", name, "--grace", "0", *flags, **environment).ready(), name)

    return start_pool


def test_processes_are_added_and_retired_and_no_task_is_cut(start_pool: Callable[..., Pool]) -> None:
    pool = start_pool("sized", "-c", "1")
    assert pool.control("add_consumer", queue="sized-too") == {"ok": "add consumer sized-too"}
    assert pool.control("pool_grow", n=2) == {"ok": "pool will grow"}
    eventually(lambda: pool.processes == 3, SECONDS)
    # those that came later know the added queue
    running = [pool.hold("sized-too") for _ in range(3)]
    eventually(lambda: pool.running == 3, SECONDS)
    assert pool.control("pool_shrink", n=2) == {"ok": "pool will shrink"}
    pool.let_go()
    assert [result.get(timeout=SECONDS) for result in running] == ["let sized go"] * 3
    eventually(lambda: pool.processes == 1, SECONDS)
    assert pool.stats["pool"]["max-concurrency"] == 1
    assert "at most 33 tasks" in pool.control("pool_grow", n=1000)["error"]
    assert pool.sleep(0).get(timeout=SECONDS) == 0
    pool.worker.stop()
    assert "is killed" not in pool.worker.log.read_text()


def test_threads_are_added_and_retired(start_pool: Callable[..., Pool]) -> None:
    pool = start_pool("threads", "-P", "threads", "-c", "1")
    results = [pool.hold() for _ in range(3)]
    eventually(lambda: pool.running == 1, SECONDS)
    pool.control("pool_grow", n=2)
    eventually(lambda: pool.running == 3, SECONDS)
    pool.control("pool_shrink", n=2)
    results += [pool.sleep(0.5) for _ in range(2)]
    pool.let_go()
    assert [result.get(timeout=SECONDS) for result in results] == ["let threads go"] * 3 + [0.5, 0.5]
    assert pool.stats["pool"]["max-concurrency"] == 1


def test_the_load_sets_the_size_between_the_limits(start_pool: Callable[..., Pool]) -> None:
    pool = start_pool("scaled", "--autoscale", "3,1", AUTOSCALE_KEEPALIVE="1")
    assert pool.processes == 1
    results = [pool.hold() for _ in range(5)]
    eventually(lambda: pool.running == 3, SECONDS)
    scaler = pool.stats["autoscaler"]
    assert (scaler["max"], scaler["min"], scaler["current"]) == (3, 1, 3)
    assert "not supported with autoscale" in pool.control("pool_grow", n=1)["error"]
    pool.let_go()
    assert [result.get(timeout=SECONDS) for result in results] == ["let scaled go"] * 5
    eventually(lambda: pool.processes == 1, SECONDS)
    assert pool.control("autoscale", max=4, min=2) == {"ok": "autoscale now max=4 min=2"}
    eventually(lambda: pool.processes == 2, SECONDS)
