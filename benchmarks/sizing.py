"""How much one worker does at the poll intervals of the guide's sizing table."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.environment import look_around
from benchmarks.process import produced_jobs
from benchmarks.server import chosen_program, start_server
from benchmarks.session import Spread
from benchmarks.wire import watched_wire
from benchmarks.workload import JOB_NAME, PAYLOAD
from svcjobs.job import Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.runner import WorkerRunner
from tests.servers import RedisServer

POLL_INTERVALS = (1.0, 0.5, 0.25)
ROUNDS = 3
PICKUPS = 60
IDLE_SECONDS = 4
COMMAND = "python -m benchmarks sizing --out docs"


@dataclass(frozen=True, slots=True)
class Load:
    """Jobs whose handler takes ``seconds``, for a runner of some concurrency."""

    label: str
    seconds: float
    concurrency: int
    jobs: int


LOADS = (
    Load("a handler that does nothing", 0, 1, 1500),
    Load("a handler that waits 100 ms", 0.1, 1, 25),
    Load("the same, concurrency=10", 0.1, 10, 200),
)


@dataclass(frozen=True, slots=True)
class Sizing:
    """What one worker does at one poll interval."""

    poll_interval: float
    jobs_per_minute: tuple[Spread, ...]
    pickup_p50_ms: float
    pickup_p99_ms: float
    idle_sent_per_second: float


def measure_sizing(console: Console, folder: Path | None) -> int:
    """Print the table, and write it to sizing.md in ``folder``; returns the exit code."""
    program = chosen_program()
    environment = look_around(program)
    sizings = []
    for poll_interval in track(POLL_INTERVALS, description="poll intervals", console=console, transient=True):
        with start_server(program) as server:
            sizings.append(asyncio.run(_size(server, poll_interval)))
    console.print(_table(sizings))
    if folder:
        (folder / "sizing.md").write_text(_page(sizings, environment.lines()))
        console.print(f"written: {folder}/sizing.md")
    return 0


async def _size(server: RedisServer, poll_interval: float) -> Sizing:
    client = redis.Redis.from_url(server.url)
    queue = RedisJobQueue(client)
    rates = []
    for load in LOADS:
        rounds = [await _jobs_per_minute(queue, load, poll_interval) for _ in range(ROUNDS)]
        rates.append(Spread(tuple(rounds)))
    idle = await _idle_commands(queue, poll_interval)
    delays = await _pickups(queue, server, poll_interval)
    queue.close()
    client.close()
    return Sizing(poll_interval, tuple(rates), statistics.median(delays), delays[int(len(delays) * 0.99)], idle)


async def _jobs_per_minute(queue: RedisJobQueue, load: Load, poll_interval: float) -> float:
    """From the first job's start to the last one's, with all of them waiting before."""
    queue.enqueue_many([NewJob(JOB_NAME, dict(PAYLOAD)) for _ in range(load.jobs)])
    starts: list[float] = []
    done = asyncio.Event()

    async def handler(_job: Job) -> None:
        starts.append(time.monotonic())
        if load.seconds:
            await asyncio.sleep(load.seconds)
        if len(starts) == load.jobs:
            done.set()

    runner = WorkerRunner(queue, handler, poll_interval=poll_interval, concurrency=load.concurrency)
    runner.start()
    await done.wait()
    await runner.stop()
    # the last `concurrency` jobs start together; the span covers all the ones before
    return (load.jobs - load.concurrency) / (starts[-1] - starts[0]) * 60


async def _idle_commands(queue: RedisJobQueue, poll_interval: float) -> float:
    """Commands that a runner sends each second when it has been idle for a while."""
    runner = WorkerRunner(queue, _ignore, poll_interval=poll_interval)
    with watched_wire() as wire:
        runner.start()
        await asyncio.sleep(IDLE_SECONDS)  # by then it looks as rarely as it ever does
        before = wire.commands
        await asyncio.sleep(IDLE_SECONDS)
        sent = wire.commands - before
        await runner.stop()
    return sent / IDLE_SECONDS


async def _pickups(queue: RedisJobQueue, server: RedisServer, poll_interval: float) -> list[float]:
    """Milliseconds from a producer's enqueue in another process to the handler, in ascending order."""
    delays: list[float] = []
    done = asyncio.Event()

    async def handler(job: Job) -> None:
        delays.append((time.monotonic_ns() - int(job.payload["sent_at"])) / 1e6)
        if len(delays) > PICKUPS:
            done.set()

    runner = WorkerRunner(queue, handler, poll_interval=poll_interval)
    runner.start()
    await asyncio.to_thread(produced_jobs, "svcjobs", server.url, PICKUPS)
    await done.wait()
    await runner.stop()
    return sorted(delays[1:])  # the producer's first job connects


async def _ignore(_job: Job) -> None:
    return


def _head() -> list[str]:
    return ["poll_interval", *(f"{load.label}: jobs/min" for load in LOADS), "idle pick-up p50 / p99, ms",
            "idle commands/s"]  # fmt: skip


def _cells(sizing: Sizing) -> list[str]:
    rates = (f"{rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})" for rate in sizing.jobs_per_minute)
    pickup = f"{sizing.pickup_p50_ms:.1f} / {sizing.pickup_p99_ms:.1f}"
    return [f"{sizing.poll_interval:g} s", *rates, pickup, f"{sizing.idle_sent_per_second:.1f}"]


def _table(sizings: list[Sizing]) -> Table:
    table = Table(*_head(), title="One worker")
    for sizing in sizings:
        table.add_row(*_cells(sizing))
    return table


def _page(sizings: list[Sizing], machine: list[str]) -> str:
    slowest = min(sizing.jobs_per_minute[1].median for sizing in sizings)
    rows = [_head(), ["---", *["---:"] * (len(_head()) - 1)], *map(_cells, sizings)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return PAGE.format(table=table, machine="\n".join(machine), command=COMMAND, slowest=f"{slowest:,.0f}")


PAGE = """# How many workers

Workers are woken when a job arrives, so `poll_interval` doesn't decide how much a worker does: it is the time after
which a worker that ran out of jobs looks by itself, and then after twice that, up to every 2 s. What decides is how
long the handlers take, and `concurrency`. One worker (`WorkerRunner` on a Redis queue, one process), measured:

{table}

Rates: all jobs waiting before the start, median of 3 rounds and their range. Pick-up: from the enqueue in
another process to the handler, single jobs on an idle queue.

What that means for the three sizes of the guide, with handlers of 100 ms (one worker with `concurrency=1` does
{slowest} of them a minute):

| Jobs a minute | Workers | Why |
| --- | --- | --- |
| under 100 | 1 | it is busy for a sixth of the time; a second one only covers the first one's restart |
| 100 to 1,000 | 2, or 1 with `concurrency=4` | 1,000 jobs of 100 ms are 100 s of work a minute |
| above 1,000 | jobs per minute * seconds per job / 60 / `concurrency`, and one more | see below |

Handlers that wait want concurrency, handlers that compute want processes. Leave `poll_interval` at its default. Several
workers are for computing, and for outliving one another, not for speed of pick-up.

{machine}

<!-- not run: it measures for minutes -->
```bash
{command}
```
"""
