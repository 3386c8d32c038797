"""How long recovery takes: ``python -m tests.chaos recovery`` measures, and prints docs/recovery.md's table."""

from __future__ import annotations

import math
import platform
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from svcjobs.errors import JobsError
from svcjobs.redis_queue import RedisJobQueue
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.scene import Scene
from tests.eventually import eventually
from tests.servers import RedisServer

LEASE_SECONDS = 5.0
KILLS = 20
RESTARTS = 10
STOPS = 5
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table.

    Args:
        what: from which event to which.
        seconds: what was measured, each time.
        allowed: what is promised at most.
    """

    what: str
    seconds: list[float]
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether each time was within what is promised."""
        return max(self.seconds) <= self.allowed

    def row(self) -> str:
        """The line of the table."""
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
        return f"| {self.what} | {len(ordered)} | {p50:.2f} s | {p99:.2f} s | {self.allowed:g} s |"


def main() -> int:
    """Measure everything; 1 when a promise doesn't hold."""
    with RedisServer(appendonly=True) as server:
        program = str(server.program).partition(" (")[0]
    print(f"Python {platform.python_version()}, {program}, leases of {LEASE_SECONDS:g} s, an idle queue\n")
    print("| From | Times | p50 | p99 | Promised |\n|---|---|---|---|---|", flush=True)
    held = True
    for measure in (killed_workers, killed_children, restarts, stops):
        for figure in measure():
            print(figure.row(), flush=True)
            held = held and figure.holds
    return 0 if held else 1


def killed_workers() -> Iterator[Figure]:
    """kill -9 of a whole worker; another one is idle."""
    yield Figure(
        "kill -9 of a worker to the restart of its job on another", list(_kills(lambda worker, _: worker.kill_all())), 7
    )


def killed_children() -> Iterator[Figure]:
    """kill -9 of the process that runs the job; its supervisor lives."""
    figure = Figure(
        "kill -9 of a child to the restart of its job", list(_kills(lambda worker, pid: worker.kill(pid))), 7
    )
    yield figure


def _kills(kill: Callable[..., None]) -> Iterator[float]:
    with _scene() as (scene, _):
        workers = [scene.worker(), scene.worker()]
        for _ in range(KILLS):
            job = scene.enqueue("slow", {"seconds": 600})
            run = scene.run_number(job, 1)
            time.sleep(0.3)
            killed = next(worker for worker in workers if run.pid in worker.members)
            began = time.monotonic()
            kill(killed, run.pid)
            again = scene.run_number(job, 2)
            yield again.start - began
            scene.queue.cancel(job)
            eventually(lambda: scene.queue.stats().in_flight == 0, 20)
            # a fresh one: children that die again and again are started later each time
            killed.kill_all()
            workers[workers.index(killed)] = scene.worker()


def restarts() -> Iterator[Figure]:
    """A server that is back to the first job that runs."""
    seconds = []
    with _scene() as (scene, server):
        scene.worker()
        for number in range(RESTARTS):
            server.kill()
            time.sleep(0.2 + number % 5)
            server.start()
            began = time.monotonic()
            job = eventually(lambda: _stored(scene), 20)
            seconds.append(scene.run_number(job, 1).start - began)
    yield Figure("Redis is back to the first job that runs", seconds, 5)


def _stored(scene: Scene) -> str | None:
    try:
        return scene.enqueue("quick")
    except JobsError:
        return None


def stops() -> Iterator[Figure]:
    """SIGTERM with a grace of 10 s over a job of 3 s and one of 60 s."""
    ends, again, exits = [], [], []
    for _ in range(STOPS):
        with _scene() as (scene, _):
            first = scene.worker("--grace", f"{GRACE_SECONDS:g}")
            short, long = scene.enqueue("slow", {"seconds": 3}), scene.enqueue("slow", {"seconds": 60})
            for job in (short, long):
                scene.run_number(job, 1)
            scene.worker()
            began = time.monotonic()
            first.signal(signal.SIGTERM)
            rerun = scene.run_number(long, 2, 30)
            assert first.ends() == 0, "the exit code is 0"
            exits.append(time.monotonic() - began)
            (run,) = scene.runs(short)
            assert run.outcome == "ok"
            ends.append((run.end or math.inf) - run.start)
            assert rerun.attempt == 1, "no attempt is charged"
            cancelled = scene.runs(long)[0].end
            again.append(rerun.start - max(began + GRACE_SECONDS, cancelled or 0))
    yield Figure("SIGTERM, a job of 3 s: its start to its end, as if nothing were", ends, 4)
    yield Figure("SIGTERM, a job of 60 s: the end of its grace to its restart elsewhere", again, 1)
    yield Figure("SIGTERM with a grace of 10 s to the exit, code 0", exits, GRACE_SECONDS + 2)


@contextmanager
def _scene() -> Iterator[tuple[Scene, RedisServer]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="svcjobs-recovery-")))
        server = stack.enter_context(RedisServer(appendonly=True))
        queue = RedisJobQueue(server.client(), visibility_timeout=LEASE_SECONDS)
        stack.callback(queue.close)
        fleet = stack.enter_context(Fleet(server.url, queue.name, History(folder), LEASE_SECONDS))
        yield Scene(server.client(), queue, fleet), server
