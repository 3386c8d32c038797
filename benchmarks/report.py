"""Writes results as JSON, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.plan import FULL
from benchmarks.plot import OURS, rates_svg
from benchmarks.session import Results
from benchmarks.table import markdown_tables
from benchmarks.workload import LABELS

HEAD = """# {title}

{machine}

{about} [notes.md](notes.md) explains the measures. Written by `{command}`.

![Rates]({plot})

"""


@dataclass(frozen=True, slots=True)
class Report:
    """Three files: ``stem``.md, its plot ``plot``.svg, and ``stem``.json.

    Args:
        stem: of the files' names.
        plot: of the plot's name.
        title: the heading.
        about: what was measured, in a sentence or two.
        labels: a title for each workload, in the order of the tables.
        ours: how the names of our own rows begin, which the plot shows in colour.
    """

    stem: str
    plot: str
    title: str
    about: str
    labels: Mapping[str, str]
    ours: str = OURS

    @property
    def names(self) -> str:
        """The files."""
        return f"{self.stem}.json, {self.stem}.md, {self.plot}.svg"

    def write(self, folder: Path, results: Results, environment: Environment, command: str) -> None:
        """Write the files into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {"command": command, "environment": environment.as_json(), "results": _values(results)}
        (folder / f"{self.stem}.json").write_text(json.dumps(content, indent=1) + "\n")
        machine, plot = "\n".join(environment.lines()), f"{self.plot}.svg"
        head = HEAD.format(title=self.title, machine=machine, about=self.about, command=command, plot=plot)
        (folder / f"{self.stem}.md").write_text(head + markdown_tables(results, self.labels) + "\n")
        (folder / plot).write_text(rates_svg(results, self.labels, self.ours))


CALLS = Report(
    stem="results",
    plot="rates",
    title="Measured",
    about=(
        f"Median of up to {FULL.rounds} rounds ({FULL.idle_rounds} of the waiting consumer), and their range. One "
        "process each, the job of the guide's first example, a server without persistence."
    ),
    labels=LABELS,
)


def _values(results: Results) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    return {
        contender: {
            workload: {
                name: {"median": spread.median, "low": spread.low, "high": spread.high, "rounds": list(spread.values)}
                for name, spread in measures.items()
            }
            for workload, measures in workloads.items()
        }
        for contender, workloads in results.items()
    }
