"""Where the client's CPU time goes in one workload."""

from __future__ import annotations

import cProfile
import pstats
import sys

from benchmarks.contender import open_contender
from benchmarks.server import chosen_program, start_server
from benchmarks.workload import WORKLOADS


def profile(contender: str, workload: str, jobs: int, lines: int = 35) -> int:
    """Print the functions that took most time themselves; cProfile makes small functions look dearer than they are."""
    with start_server(chosen_program()) as server:
        subject = open_contender(contender, server.url)
        subject.enqueue(1)
        subject.drain(1)
        work = WORKLOADS[workload]
        if work.filled:
            subject.enqueue_many(jobs)
        profiler = cProfile.Profile()
        profiler.runcall(work.run, subject, jobs)
        subject.close()
    pstats.Stats(profiler, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(lines)
    return 0
