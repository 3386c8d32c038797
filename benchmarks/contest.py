"""All queues side by side: rounds of races, interleaved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from rich.console import Console

from benchmarks.contenders import WORKED
from benchmarks.home import python_of, version_of
from benchmarks.measure import Sample
from benchmarks.plot import OURS
from benchmarks.race import KILLED_JOBS, RACES, Size, run_race
from benchmarks.report import Report
from benchmarks.session import Results, Spread, Step, summarise, take
from benchmarks.stand import Stalled
from tests.server_program import ServerProgram

ROUNDS = 3
FULL = Size(share=1.0, pickups=100, settle_seconds=6, idle_seconds=5, repair_seconds=150)
SHORT = Size(share=0.1, pickups=20, settle_seconds=1, idle_seconds=2)
LOSES = " ✗"
"""Behind the name of a contender that lost jobs when its worker was killed."""
CELERY, FACADE = "Celery on redis", "svcjobs facade"
LABELS = {name: race.label for name, race in RACES.items()}
REPORT = Report(
    stem="contest",
    plot="contest",
    title="Every queue side by side",
    about=(
        f"Median of {ROUNDS} rounds, and their range. Every queue with its own worker program at the best of its "
        "documented settings, on a server of its own without persistence: "
        + "; ".join(f"{name}: {entry.setting}" for name, entry in WORKED.items())
        + f". `{LOSES.strip()}`: {FULL.repair_seconds:g} s after its worker was killed, jobs of it weren't done yet."
    ),
    labels=LABELS,
)


def settle_in(console: Console, names: Sequence[str]) -> dict[str, str]:
    """Install what is missing; gives the version of each package."""
    for name in names:
        with console.status(f"installing {name}"):
            python_of(name)
    return {WORKED[name].package: version_of(name) for name in names}


def hold_contest(
    program: ServerProgram, console: Console, names: Sequence[str], races: Sequence[str], *, size: Size, rounds: int
) -> Results:
    """Run these races; a contender that stands still in one is told of, and has no value there.

    Raises:
        Stalled: one of ours stood still.
    """

    def attempt(race: str, name: str) -> Sample:
        try:
            return run_race(program, race, name, size)
        except Stalled as error:
            if name.startswith(OURS):
                raise
            console.print(f"{name}, {LABELS[race]}: {error}", highlight=False, style="red")
            return {}

    steps: list[Step] = []
    for number in range(rounds):
        first = number % len(names)
        for race, about in ((race, RACES[race]) for race in races):
            if about.kills and (number or not size.repair_seconds):
                continue
            turns = [name for name in (*names[first:], *names[:first]) if about.is_for(WORKED[name])]
            steps += [(name, partial(attempt, race, name)) for name in turns]
    return marked(summarise(take(steps, math.inf)), names)


def marked(results: Results, names: Sequence[str]) -> Results:
    """The results in the order of ``names``, those that lost jobs marked."""
    return {name + (LOSES if loses(results[name]) else ""): results[name] for name in names if name in results}


def loses(measured: Mapping[str, Mapping[str, Spread]]) -> bool:
    """Whether a contender did fewer jobs than it had been given, after its worker was killed."""
    kept = measured.get("kill", {}).get("kept")
    return kept is not None and kept.low < KILLED_JOBS


def ratios(results: Results) -> Iterator[str]:
    """Our rates against the fastest of the others, in sentences; the facade's against Celery's too."""
    for race, label in LABELS.items():
        rates = {name: spread.median for name, raced in results.items() if (spread := raced.get(race, {}).get("rate"))}
        # Celery on our queues is no other product's rate
        keepers = {name: rate for name, rate in rates.items() if OURS not in name and LOSES not in name}
        if not keepers:
            continue
        best = max(keepers, key=lambda name: keepers[name])
        for name in (name for name in rates if name.startswith(OURS)):
            for other in {best: None, CELERY: None} if name == FACADE and CELERY in keepers else [best]:
                yield f"{label}: {name} does {rates[name] / keepers[other]:.1f} times what {other} does"
