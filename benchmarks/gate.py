"""Holds the exact counts against the committed baseline."""

from __future__ import annotations

from rich.console import Console

from benchmarks.baseline import COMMAND, PATH, TOLERANCE, Baseline, exact_counts, server_key
from benchmarks.contender import GATED
from benchmarks.server import chosen_program
from benchmarks.session import measure_exact
from benchmarks.table import print_tables
from benchmarks.workload import LABELS


def check_counts(console: Console) -> int:
    """The exit code: 1 when a count got worse by more than the tolerance, each being named."""
    program = chosen_program()
    server, baseline = server_key(program.version), Baseline()
    results = measure_exact(program, GATED)
    print_tables(console, results, LABELS)
    try:
        differences = baseline.differences(server, exact_counts(results))
    except LookupError as error:
        console.print(f"gate: {error.args[0]}", style="red")
        return 1
    if not baseline.knows(server):
        console.print(f"gate: no baseline for {server}, so memory isn't compared")
    for difference in differences:
        kind, style = ("worse", "red") if difference.is_worse else ("better", "green")
        console.print(f"{kind}: {difference}", style=style, highlight=False)
    if any(difference.is_worse for difference in differences):
        console.print(f"gate: failed, worse than {PATH.name} by more than {TOLERANCE:.0%}", style="red")
        return 1
    if differences:
        console.print(f"gate: keep the gain with `{COMMAND}`")
    console.print(f"gate: passed on {program.version}, all counts within {TOLERANCE:.0%} of {PATH.name} or better")
    return 0


def write_counts(console: Console) -> int:
    """Make today's counts the baseline of this kind of server."""
    program = chosen_program()
    results = measure_exact(program, GATED)
    print_tables(console, results, LABELS)
    Baseline().write(server_key(program.version), exact_counts(results))
    console.print(f"{PATH} holds the counts of {program.version}")
    return 0
