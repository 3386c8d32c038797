"""Runs a plan: the exact measures once, the noisy ones in interleaved rounds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contender import CONTENDERS
from benchmarks.measure import Sample
from benchmarks.plan import COUNTED_JOBS, WEIGHED_JOBS, Plan
from benchmarks.process import run_alone, run_pickup
from tests.server_program import ServerProgram


@dataclass(frozen=True, slots=True)
class Spread:
    """The values that one measure took in the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(self.values)


Results = dict[str, dict[str, dict[str, Spread]]]
"""Spreads by contender, workload and measure."""

Step = tuple[str, Callable[[], Sample]]


def measure_all(program: ServerProgram, plan: Plan) -> Results:
    """Everything in the plan, for every contender."""
    steps = [*_exact_steps(program, tuple(CONTENDERS)), *_noisy_steps(program, plan)]
    return summarise(take(steps, plan.limit_seconds))


def measure_exact(program: ServerProgram, contenders: Sequence[str]) -> Results:
    """The exact measures only."""
    return summarise(take(_exact_steps(program, contenders), math.inf))


def summarise(samples: Sequence[tuple[str, Sample]]) -> Results:
    """All values of each measure, in the order of the rounds."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for contender, sample in samples:
        for workload, measured in sample.items():
            for name, value in measured.items():
                values.setdefault(contender, {}).setdefault(workload, {}).setdefault(name, []).append(value)
    return {
        contender: {
            workload: {name: Spread(tuple(taken)) for name, taken in measures.items()}
            for workload, measures in workloads.items()
        }
        for contender, workloads in values.items()
    }


def _exact_steps(program: ServerProgram, contenders: Sequence[str]) -> list[Step]:
    tasks = (("count", COUNTED_JOBS), ("weigh", WEIGHED_JOBS))
    return [(name, partial(run_alone, program, task, name, jobs)) for name in contenders for task, jobs in tasks]


def _noisy_steps(program: ServerProgram, plan: Plan) -> list[Step]:
    """Round by round, each beginning with another contender, so that a busy minute hits all alike."""
    clock = partial(run_alone, program, "clock")
    pickup = partial(run_pickup, program)
    names = list(CONTENDERS)
    steps: list[Step] = []
    for number in range(plan.rounds):
        first = number % len(names)
        turns = names[first:] + names[:first]
        steps += [(name, partial(clock, name, plan.single_jobs, plan.bulk_jobs)) for name in turns]
        if number < plan.idle_rounds:
            steps += [(name, partial(pickup, name, plan.idle_seconds, plan.pickups)) for name in turns]
    return steps


def take(steps: Sequence[Step], limit_seconds: float) -> list[tuple[str, Sample]]:
    """The samples of the steps, with a progress bar; after ``limit_seconds`` no further step begins."""
    samples = []
    deadline = time.monotonic() + limit_seconds
    with _progress(len(steps)) as begin:
        for name, step in steps:
            if time.monotonic() > deadline:
                break
            begin(name)
            samples.append((name, step()))
    return samples


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=total)
        started = 0
        is_log = not progress.console.is_terminal  # where no bar is drawn

        def begin(name: str) -> None:
            nonlocal started
            progress.update(task, description=name, completed=started)
            if is_log and started * 10 // total > (started - 1) * 10 // total:
                progress.console.print(f"{datetime.now():%H:%M:%S} {started} of {total} done")
            started += 1

        yield begin
