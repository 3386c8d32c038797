"""Results as tables: one a workload, for the screen and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measure import MEASURES, Measure
from benchmarks.session import Results, Spread


@dataclass(frozen=True, slots=True)
class Section:
    """The table of one workload: a row per contender, None where a measure wasn't taken."""

    title: str
    measures: list[Measure]
    rows: list[tuple[str, list[Spread | None]]]


def sections(results: Results, labels: Mapping[str, str]) -> Iterator[Section]:
    """The tables of the workloads in ``labels``, empty rows and columns left out."""
    for workload, title in labels.items():
        taken = {name: measured for name, workloads in results.items() if (measured := workloads.get(workload))}
        measures = [measure for measure in MEASURES.values() if any(measure.name in row for row in taken.values())]
        rows = [(name, [row.get(measure.name) for measure in measures]) for name, row in taken.items()]
        if rows:
            yield Section(title, measures, rows)


def print_tables(console: Console, results: Results, labels: Mapping[str, str]) -> None:
    """Show the tables: medians, and by how much the rounds lie around them."""
    for section in sections(results, labels):
        table = Table(title=section.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        table.add_column("")
        for measure in section.measures:
            table.add_column(f"{measure.label}\n{measure.unit}", justify="right")
        for name, spreads in section.rows:
            table.add_row(name, *(_short_cell(*pair) for pair in zip(section.measures, spreads, strict=True)))
        console.print(table)


def markdown_tables(results: Results, labels: Mapping[str, str]) -> str:
    """The tables in Markdown."""
    blocks = []
    for section in sections(results, labels):
        head = ["", *(f"{measure.label}, {measure.unit}" for measure in section.measures)]
        lines = [f"## {section.title[0].upper()}{section.title[1:]}", "", _row(head)]
        lines.append(_row(["---", *["---:"] * len(section.measures)]))
        for name, spreads in section.rows:
            cells = [_long_cell(*pair) for pair in zip(section.measures, spreads, strict=True)]
            lines.append(_row([name, *cells]))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _short_cell(measure: Measure, spread: Spread | None) -> str:
    if spread is None:
        return ""
    around = (spread.high - spread.low) / 2 / spread.median if spread.median else 0
    return measure.text(spread.median) + (f" ±{around:.0%}" if around >= 0.005 else "")


def _long_cell(measure: Measure, spread: Spread | None) -> str:
    if spread is None:
        return ""
    median, low, high = (measure.text(value) for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
