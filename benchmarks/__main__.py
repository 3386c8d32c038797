"""``python -m benchmarks``: our own calls, then every queue side by side. Parts of it, and more, are commands."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import contest, growth
from benchmarks.contender import CONTENDERS
from benchmarks.contenders import WORKED
from benchmarks.contest import hold_contest, ratios, settle_in
from benchmarks.environment import Environment, look_around
from benchmarks.gate import check_counts, write_counts
from benchmarks.growth import CURVES, measure_growth
from benchmarks.plan import FULL, SHORT
from benchmarks.profile import profile
from benchmarks.race import RACES
from benchmarks.report import CALLS, Report
from benchmarks.server import chosen_program
from benchmarks.session import Results, measure_all
from benchmarks.sizing import measure_sizing
from benchmarks.table import print_tables
from benchmarks.workload import WORKLOADS


def main(words: list[str]) -> int:
    """Do what the command line says; returns the exit code."""
    options = _parser().parse_args(words)
    console = Console() if sys.stdout.isatty() else Console(width=130)
    if options.command == "profile":
        return profile(options.contender, options.workload, options.jobs)
    if options.command == "sizing":
        return measure_sizing(console, options.out)
    if options.command == "growth":
        _walk_growth(console, f"python -m benchmarks {shlex.join(words)}", options)
        return 0
    if options.gate:
        return check_counts(console)
    if options.write_baseline:
        return write_counts(console)
    command = f"python -m benchmarks {shlex.join(words)}"
    if options.command != "contest":
        _measure_calls(console, command, short=options.short, out=options.out)
    if options.command != "calls":
        _hold_contest(console, command, options)
    return 0


def _measure_calls(console: Console, command: str, *, short: bool, out: Path | None) -> None:
    program, plan = chosen_program(), SHORT if short else FULL
    environment = _told(console, look_around(program))
    _show(console, CALLS, measure_all(program, plan), environment, command, out)


def _hold_contest(console: Console, command: str, options: argparse.Namespace) -> None:
    program = chosen_program()
    names = getattr(options, "only", None) or list(WORKED)
    versions = settle_in(console, names)
    environment = _told(console, look_around(program, versions))
    size, rounds = (contest.SHORT, 1) if options.short else (contest.FULL, contest.ROUNDS)
    races = getattr(options, "race", None) or list(RACES)
    results = hold_contest(program, console, names, races, size=size, rounds=rounds)
    _show(console, contest.REPORT, results, environment, command, options.out)
    console.print(*ratios(results), sep="\n", highlight=False)


def _walk_growth(console: Console, command: str, options: argparse.Namespace) -> None:
    program = chosen_program()
    environment = _told(console, look_around(program))
    results = measure_growth(program, console, options.only or list(CURVES), short=options.short)
    _show(console, growth.REPORT, results, environment, command, options.out)


def _told(console: Console, environment: Environment) -> Environment:
    for line in environment.lines():
        console.print(line, highlight=False)
    return environment


def _show(
    console: Console, report: Report, results: Results, environment: Environment, command: str, out: Path | None
) -> None:
    print_tables(console, results, report.labels)
    if out:
        report.write(out, results, environment, command)
        console.print(f"written into {out}: {report.names}")


def _parser() -> argparse.ArgumentParser:
    size = argparse.ArgumentParser(add_help=False)
    size.add_argument("--short", action="store_true", help="fewer jobs and rounds")
    size.add_argument("--out", type=Path, metavar="FOLDER", help="write tables, JSON and a plot there")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, parents=[size])
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--gate",
        action="store_true",
        help="only compare the exact counts with baseline.json",
    )
    kind.add_argument("--write-baseline", action="store_true", help="only make today's exact counts the baseline")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("calls", parents=[size], help="our own calls only")
    contest_only = commands.add_parser("contest", parents=[size], help="every queue side by side only")
    contest_only.add_argument("--only", action="append", choices=list(WORKED), help="one contender; may be repeated")
    contest_only.add_argument("--race", action="append", choices=list(RACES), help="one race; may be repeated")
    curves = commands.add_parser("growth", parents=[size], help="how the cost of a job grows")
    curves.add_argument("--only", action="append", choices=list(CURVES), help="one curve; may be repeated")
    sizing = commands.add_parser("sizing", help="how much one worker does at each poll interval")
    sizing.add_argument("--out", type=Path, metavar="FOLDER", help="write sizing.md there")
    profiling = commands.add_parser("profile", help="where the client's CPU time goes in one workload")
    profiling.add_argument("workload", choices=list(WORKLOADS))
    profiling.add_argument("--contender", choices=list(CONTENDERS), default="svcjobs")
    profiling.add_argument("--jobs", type=int, default=5000)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
