"""The races that every contender runs, each on a server of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.contenders import WORKED, Entry
from benchmarks.jobs import PICKUPS, RELEASE
from benchmarks.measure import MICRO, Sample
from benchmarks.stand import Stalled, Stand, open_stand
from benchmarks.visit import WARM_JOBS
from benchmarks.workload import BULK_SIZE
from tests.server_program import ServerProgram

CHORD_JOBS = 1000
KILLED_JOBS = 20
START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Size:
    """How much.

    Args:
        share: of the jobs that a contender gets to drain.
        pickups: single jobs that are picked up.
        settle_seconds: before that; processes that a worker starts beside those that run jobs take a while.
        idle_seconds: for which an idle worker is watched.
        repair_seconds: for which jobs whose worker was killed are waited: each contender is set to look after 5 s, some
            look seldom. 0: nobody is killed.
    """

    share: float
    pickups: int
    settle_seconds: float
    idle_seconds: float
    repair_seconds: float = 0


Measured = dict[str, float]


def put(stand: Stand, method: str, jobs: int) -> Measured:
    """Store jobs while no worker runs."""
    memory = stand.meter.read_settled().memory
    before = stand.meter.read()
    told = stand.visit(method, jobs)
    change = stand.meter.since(before)
    stored = jobs + WARM_JOBS
    return {
        "rate": jobs / told["seconds"],
        "client_cpu": told["cpu"] / jobs * MICRO,
        "redis_cpu": change.cpu_seconds / stored * MICRO,
        "commands": change.commands / stored,
        "bytes_to_server": change.bytes_in / stored,
        "memory": (stand.meter.read_settled().memory - memory) / stored,
    }


def drain(stand: Stand, jobs: int, workers: int, method: str = "enqueue_many", **more: int) -> Measured:
    """Start workers on a full queue, and measure from the first 5 % of the jobs to the last one."""
    stand.visit(method, jobs, **more)
    total = jobs + WARM_JOBS
    for _ in range(workers):
        stand.start_worker()
    first = stand.wait_for(max(1, total // 20))
    before, cpu, started = stand.meter.read(), stand.cpu_seconds(), time.perf_counter()
    first = stand.done()
    stand.wait_for(total)
    seconds, cpu = time.perf_counter() - started, stand.cpu_seconds() - cpu
    change = stand.meter.since(before)
    run = total - first
    if not run:
        raise Stalled(f"all {total} jobs had run before the clock was started: measure with more of them")
    return {
        "rate": run / seconds,
        "client_cpu": cpu / run * MICRO,
        "redis_cpu": change.cpu_seconds / run * MICRO,
        "commands": change.commands / run,
        "bytes_to_server": change.bytes_in / run,
        "bytes_from_server": change.bytes_out / run,
        "worker_memory": stand.memory_mib(),
    }


def wait(stand: Stand, size: Size) -> Measured:
    """What an idle worker costs, and how soon it starts single jobs."""
    _warm_worker(stand)
    time.sleep(size.settle_seconds)
    before, cpu, started = stand.meter.read(), stand.cpu_seconds(), time.perf_counter()
    time.sleep(size.idle_seconds)
    seconds, cpu = time.perf_counter() - started, stand.cpu_seconds() - cpu
    commands = stand.meter.since(before).commands
    stand.visit("trickle", size.pickups)
    stand.wait_for(2 * WARM_JOBS + size.pickups)
    delays = sorted(int(line) / MICRO for line in (stand.marks / PICKUPS).read_text().split())
    return {
        "idle_commands": commands / seconds,
        "idle_client_cpu": cpu / seconds * 1000,
        "pickup_p50": delays[len(delays) // 2],
        "pickup_p99": delays[int(len(delays) * 0.99)],
    }


def kill(stand: Stand, size: Size) -> Measured:
    """How many jobs are done in the end when their worker is killed at work and another one started."""
    stand.visit("number", KILLED_JOBS)
    stand.start_worker()
    deadline = time.monotonic() + START_SECONDS
    while not any(stand.marks.glob("started-*")):
        if time.monotonic() > deadline:
            raise Stalled(f"no job began: {stand.said()}")
        time.sleep(0.01)
    time.sleep(0.2)  # for what it fetches ahead
    stand.kill_workers()
    (stand.marks / RELEASE).touch()
    stand.start_worker()
    with contextlib.suppress(Stalled):
        _wait_for_all(stand, time.monotonic() + size.repair_seconds)
    return {"kept": float(_kept(stand))}


def call(stand: Stand, jobs: int) -> Measured:
    """Store jobs and get the result of each."""
    _warm_worker(stand)
    told = stand.visit("call", jobs)
    return {"rate": jobs / told["seconds"], "client_cpu": told["cpu"] / jobs * MICRO}


def chord(stand: Stand) -> Measured:
    """Jobs, and one more when all are done, from its storing to its result."""
    _warm_worker(stand)
    return {"rate": CHORD_JOBS / stand.visit("chord", CHORD_JOBS)["seconds"]}


def _warm_worker(stand: Stand) -> None:
    stand.start_worker()
    stand.visit("enqueue", 0)
    stand.wait_for(WARM_JOBS)


def _kept(stand: Stand) -> int:
    return sum(1 for _ in stand.marks.glob("done-*"))


def _wait_for_all(stand: Stand, deadline: float) -> None:
    while _kept(stand) < KILLED_JOBS:
        if time.monotonic() > deadline:
            raise Stalled
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Race:
    """One table.

    Args:
        label: its title.
        run: measures.
        stores: it is about storing jobs.
        results: only contenders that give results back run it.
        kills: in the first round only.
    """

    label: str
    run: Callable[[Stand, int, Size], Measured]
    stores: bool = False
    results: bool = False
    kills: bool = False

    def is_for(self, entry: Entry) -> bool:
        """Whether a contender runs it."""
        return (entry.results or not self.results) and (entry.stores or not self.stores)


RACES = MappingProxyType(
    {
        "put": Race("enqueue, one by one", lambda stand, jobs, _: put(stand, "enqueue", jobs), stores=True),
        "put_many": Race(
            f"enqueue in bulk, {BULK_SIZE:,} at a time where it can",
            lambda stand, jobs, _: put(stand, "enqueue_many", 2 * jobs),
            stores=True,
        ),
        "drain_1": Race("drain, no-op jobs, 1 worker process", lambda stand, jobs, _: drain(stand, jobs, 1)),
        "drain_2": Race("drain, no-op jobs, 2 worker processes", lambda stand, jobs, _: drain(stand, 2 * jobs, 2)),
        "drain_1ms": Race(
            "drain, jobs of 1 ms, 1 worker process",
            lambda stand, jobs, _: drain(stand, min(jobs, 3000), 1, wait_ms=1),
        ),
        "drain_kept": Race(
            "drain, no-op jobs with results, 1 worker process",
            lambda stand, jobs, _: drain(stand, jobs, 1, "enqueue_kept"),
            results=True,
        ),
        "call": Race("call and get the result", lambda stand, jobs, _: call(stand, jobs // 2), results=True),
        "chord": Race(f"a chord of {CHORD_JOBS:,}", lambda stand, _jobs, _: chord(stand), results=True),
        "wait": Race("an idle worker, then single jobs", lambda stand, _, size: wait(stand, size)),
        "kill": Race(
            f"{KILLED_JOBS} jobs, kill -9 at work, another worker", lambda stand, _, size: kill(stand, size), kills=True
        ),
    }
)
"""In the order of the tables."""


def run_race(program: ServerProgram, race: str, name: str, size: Size) -> Sample:
    """The values of one race of one contender.

    Raises:
        Stalled: the contender failed or stood still.
    """
    with open_stand(program, name) as stand:
        return {race: RACES[race].run(stand, max(200, int(WORKED[name].jobs * size.share)), size)}
