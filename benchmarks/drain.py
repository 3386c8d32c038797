"""Client CPU of a worker's child, per job: no-op jobs, run natively and by the facade, each in a process of its own.

Run: ``python -m benchmarks.drain [--pool prefork] [--jobs 10000] [--rounds 5]``; with ``--profile KIND`` it prints
where the time of one such child goes, thread by thread.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import os
import pstats
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from benchmarks.server import chosen_program, start_server
from benchmarks.workload import BULK_SIZE, JOB_NAME, PAYLOAD
from svcjobs.child import ChildPlan, run_child
from svcjobs.job import Job, NewJob
from svcjobs.pipes import Pipes
from svcjobs.queue import JobQueue
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.registry import JobRegistry

WARM_JOBS = 2000
ROOT = Path(__file__).resolve().parent.parent


class Stretch:
    """From the job after :data:`WARM_JOBS` to the last one, when the process is told to stop.

    Args:
        jobs: how many.
        begin: called when it begins, in the thread that runs jobs.

    Attributes:
        cpu_seconds: what the process used meanwhile, all threads.
    """

    def __init__(self, jobs: int, begin: Callable[[], object] = lambda: None) -> None:
        self.cpu_seconds = 0.0
        self._begin = begin
        self._last = WARM_JOBS + jobs
        self._count = 0

    def job(self) -> None:
        """A job runs."""
        self._count += 1
        if self._count == WARM_JOBS:
            self._begin()
            self.cpu_seconds = -time.process_time()
        elif self._count == self._last:
            self.cpu_seconds += time.process_time()
            os.kill(os.getpid(), signal.SIGTERM)


def run_native(url: str, stretch: Stretch, plan: ChildPlan, jobs: int) -> None:
    """Drain a native queue."""
    client = redis.Redis.from_url(url)
    queue = RedisJobQueue(client)
    for start in range(0, jobs, BULK_SIZE):
        queue.enqueue_many([NewJob(JOB_NAME, dict(PAYLOAD)) for _ in range(min(BULK_SIZE, jobs - start))])
    registry = JobRegistry()

    @registry.handler(JOB_NAME)
    def noop(_job: Job) -> None:
        stretch.job()

    def open_queues(_application: object) -> Sequence[JobQueue]:
        return [queue]

    _run(lambda: registry, open_queues, plan)


def run_facade(url: str, stretch: Stretch, plan: ChildPlan, jobs: int, *, stores: bool) -> None:
    """Drain the queue of a Celery app, as a process of its worker does."""
    from svcjobs_celery_compat import Celery
    from svcjobs_celery_compat.worker.broker import Broker
    from svcjobs_celery_compat.worker.station import Station

    app = Celery("benchmark", broker=url.replace("redis://", "svcjobs://"), backend=url)

    @app.task(name=JOB_NAME, ignore_result=not stores)
    def noop(**_payload: str) -> None:
        stretch.job()

    for _ in range(jobs):
        app.send_task(JOB_NAME, kwargs=dict(PAYLOAD), ignore_result=not stores)
    broker = Broker(app)

    def open_queues(_application: object) -> Sequence[JobQueue]:
        return [broker.open(queue) for queue in app.amqp.queues.consume_from.values()]

    _run(lambda: Station(app, "benchmark@here", broker).application, open_queues, plan)


RUNS: dict[str, Callable[[str, Stretch, ChildPlan, int], None]] = {
    "native": run_native,
    "facade, results ignored": functools.partial(run_facade, stores=False),
    "facade, results stored": functools.partial(run_facade, stores=True),
}


def _run(load: Callable[[], Any], open_queues: Callable[[Any], Sequence[JobQueue]], plan: ChildPlan) -> None:
    """The child; another process takes its reports, in place of a keeper."""
    pipes = Pipes.open(1)
    keeper = os.fork()
    if keeper == 0:
        _take_reports(pipes.reports[0])
    try:
        run_child(load, open_queues, plan, pipes.of_child(0))
    finally:
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)


def _take_reports(reports: socket.socket) -> None:
    reports.setblocking(True)
    while True:
        reports.recv(1 << 20)


def child(kind: str, url: str, pool: str, concurrency: int, jobs: int, *, profiled: bool) -> None:
    """Drain so many jobs, and print the microseconds of CPU that each of them took."""
    profiles: dict[str, cProfile.Profile] = {}

    def begin(*_: object) -> None:
        sys.setprofile(None)
        profiles[threading.current_thread().name] = profile = cProfile.Profile(time.thread_time)
        profile.enable()

    stretch = Stretch(jobs, begin) if profiled else Stretch(jobs)
    if profiled:
        threading.setprofile(begin)
    RUNS[kind](url, stretch, ChildPlan(pool, concurrency), WARM_JOBS + jobs)
    for name, profile in profiles.items():
        profile.disable()
        print(f"\n{name}")
        pstats.Stats(profile, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(40)
    print(stretch.cpu_seconds / jobs * 1e6)


def _drained(kind: str, options: argparse.Namespace) -> str:
    """The output of such a child, on a server of its own."""
    with start_server(chosen_program()) as server:
        command = [sys.executable, "-m", "benchmarks.drain", "--child", kind, "--url", server.url]
        command += ["--pool", options.pool, "--concurrency", str(options.concurrency), "--jobs", str(options.jobs)]
        if options.profile:
            command += ["--profile", kind]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", default="prefork")
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", choices=list(RUNS), metavar="KIND")
    parser.add_argument("--child", choices=list(RUNS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(
            options.child, options.url, options.pool, options.concurrency, options.jobs, profiled=bool(options.profile)
        )
        return
    if options.profile:
        print(_drained(options.profile, options))
        return
    taken: dict[str, list[float]] = {kind: [] for kind in RUNS}
    for _ in range(options.rounds):
        for kind, values in taken.items():
            values.append(float(_drained(kind, options).splitlines()[-1]))
    print(f"| client CPU, µs a job, pool {options.pool} | least | median |\n| --- | ---: | ---: |")
    for kind, values in taken.items():
        print(f"| {kind} | {min(values):.0f} | {statistics.median(values):.0f} |")


if __name__ == "__main__":
    main()
