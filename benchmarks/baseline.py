"""The committed counts, and what has become worse since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import MEASURES
from benchmarks.session import Results
from benchmarks.workload import LABELS

PATH = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.05
COMMAND = "python -m benchmarks --write-baseline"
MEMORY = frozenset({"memory", "key_memory"})
"""How much a key takes is the server's own business and differs between its versions."""

Counts = dict[str, dict[str, dict[str, float]]]
"""Values by contender, workload and measure."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A count that moved by more than the tolerance, or is missing now (``after`` is None)."""

    contender: str
    workload: str
    measure: str
    before: float
    after: float | None

    @property
    def is_worse(self) -> bool:
        """Every count is better the smaller it is."""
        return self.after is None or self.after > self.before

    def __str__(self) -> str:
        measure = MEASURES[self.measure]
        where = f"{self.contender}, {LABELS[self.workload]}: {measure.label}"
        if self.after is None:
            return f"{where} was {self.before:.3f} {measure.unit} and isn't measured any more"
        change = f"{self.after / self.before - 1:+.1%}" if self.before else "was none"
        return f"{where} {self.before:.3f} -> {self.after:.3f} {measure.unit} ({change})"


def server_key(version: str) -> str:
    """``Redis 7.0.15`` -> ``redis-7``: what a baseline holds for."""
    name, _, number = version.partition(" ")
    return f"{name.lower()}-{number.partition('.')[0]}"


def exact_counts(results: Results) -> Counts:
    """The exact measures among the results."""
    return {
        contender: {
            workload: {name: round(spread.median, 4) for name, spread in measures.items() if MEASURES[name].exact}
            for workload, measures in workloads.items()
            if any(MEASURES[name].exact for name in measures)
        }
        for contender, workloads in results.items()
    }


class Baseline:
    """The counts that were committed, for each kind of server."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._servers: dict[str, Counts] = json.loads(path.read_text())["servers"] if path.exists() else {}

    def knows(self, server: str) -> bool:
        """Whether counts of this kind of server are there."""
        return server in self._servers

    def write(self, server: str, counts: Counts) -> None:
        """Replace the counts of one kind of server."""
        self._servers[server] = counts
        content: dict[str, Any] = {"command": COMMAND, "servers": dict(sorted(self._servers.items()))}
        self._path.write_text(json.dumps(content, indent=1) + "\n")

    def differences(self, server: str, counts: Counts) -> list[Difference]:
        """What moved by more than the tolerance.

        Without counts of this kind of server, those of another are taken and memory is left out.

        Raises:
            LookupError: there are no counts at all.
        """
        if not self._servers:
            raise LookupError(f"{self._path} has no counts: run `{COMMAND}` and commit it")
        if self.knows(server):
            return list(_moved(self._servers[server], counts, frozenset()))
        return list(_moved(next(iter(self._servers.values())), counts, MEMORY))


def _moved(before: Counts, after: Counts, left_out: frozenset[str]) -> Iterator[Difference]:
    for contender, workloads in before.items():
        for workload, measures in workloads.items():
            for name, old in measures.items():
                new = after.get(contender, {}).get(workload, {}).get(name)
                if name not in left_out and (new is None or abs(new - old) > old * TOLERANCE):
                    yield Difference(contender, workload, name, old, new)
