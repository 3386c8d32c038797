"""The tables at the end, and whether every job is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from examples.stdlib_index.outcome import Outcome
from svcjobs import Job, NewJob

SHOWN_PACKAGES = 8


def report(console: Console, work: Sequence[NewJob], outcome: Outcome, seconds: float) -> int:
    """Print what became of ``work``; returns the exit status, 0 when nothing is missing."""
    for sentence in outcome.story:
        console.print(f"[yellow]{sentence}")
    console.print(results_table(outcome))
    console.print(retries_table(outcome))
    console.print(dead_table(outcome.dead))
    return verdict(console, work, outcome, seconds)


def results_table(outcome: Outcome) -> Table:
    """The packages with the most functions."""
    totals: dict[str, Counter[str]] = {}
    for (question, path), answer in outcome.answers.items():
        if question != "progress":
            package = path.split("/")[0] if "/" in path else "(single modules)"
            totals.setdefault(package, Counter()).update({**answer, "answers": 1})
    table = Table("package", title="Results")
    for column in ("functions", "classes", "imports"):
        table.add_column(column, justify="right")
    ranked = sorted(totals.items(), key=lambda item: -item[1]["functions"])
    for package, counts in ranked[:SHOWN_PACKAGES]:
        table.add_row(package, *(f"{counts[column]:,}" for column in ("functions", "classes", "imports")))
    rest = sum((counts for _, counts in ranked[SHOWN_PACKAGES:]), Counter[str]())
    table.add_row("all others", *(f"{rest[column]:,}" for column in ("functions", "classes", "imports")))
    return table


def retries_table(outcome: Outcome) -> Table:
    """How often each transition was taken."""
    table = Table("transition", title="Jobs and retries")
    table.add_column("count", justify="right")
    for name, count in sorted(outcome.stats.totals.items()):
        table.add_row(name, f"{count:,}")
    ticks = sum(question == "progress" for question, _ in outcome.answers)
    table.add_row("ticks of the schedule that ran", f"{ticks:,}")
    return table


def dead_table(dead: Sequence[Job]) -> Table:
    """The dead letter queue, oldest first."""
    table = Table(title="Dead letter queue", expand=True)
    for column in ("id", "job", "reason", "attempts"):
        table.add_column(column, no_wrap=True)
    table.add_column("last error", no_wrap=True, ratio=1)
    for job in reversed(dead):
        table.add_row(job.id, job.name, job.reason, str(job.attempts), (job.last_error or "").partition("\n")[0])
    return table


def verdict(console: Console, work: Sequence[NewJob], outcome: Outcome, seconds: float) -> int:
    """Compare what was asked with what came back."""
    asked = {(job.payload["question"], job.payload["path"]) for job in work if "question" in job.payload}
    answered = {key for key in outcome.answers if key[0] != "progress"}
    dead = {(job.payload["question"], job.payload["path"]) for job in outcome.dead if "question" in job.payload}
    missing = asked - answered - dead
    console.print(
        f"{len(asked):,} questions in {seconds:.1f} s: {len(answered):,} answered, {len(dead):,} dead-lettered "
        f"(not Python), [bold]{len(missing)} lost[/bold]"
    )
    if outcome.story:
        console.print(f"{outcome.runs - len(outcome.answers)} answers were given twice: the kill came before their ack")
    return 1 if missing else 0
