"""``svcjobs schedule``: what will run when."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import click
from rich.text import Text

from svcjobs.cli import schedules
from svcjobs.cli.applications import application_option, find_application
from svcjobs.cli.exits import CommandFailed, Exit
from svcjobs.cli.output import console, json_option, print_json, stamp, table, until
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.scheduled_task import ScheduledTask
from svcjobs.scheduler import InMemoryScheduler


@click.group
def schedule() -> None:
    """See the schedule."""


@schedule.command("list")
@application_option
@click.option("--runs", type=click.IntRange(1, 100), default=1, metavar="N", help="Show the next N runs. Default: 1.")
@json_option
def list_entries(target: str | None, *, runs: int, as_json: bool) -> None:
    """List the entries of JOBS_SCHEDULE_JSON and of the application, with their next runs.

    Exit code 78 when an entry can't be used; the others are listed.
    """
    application = find_application(target)
    # nothing is run here, so no server is needed
    scheduler = InMemoryScheduler(queue=InMemoryJobQueue())
    with _silent("svcjobs.loader"):  # what is wrong is shown below
        problems = schedules.load(scheduler, application)
    entries = [_entry(task, runs) for task in scheduler.tasks]
    if as_json:
        print_json({"entries": entries, "problems": [str(problem) for problem in problems]})
    else:
        _print(entries)
    if problems:
        for problem in problems[:-1]:
            click.echo(f"svcjobs: {problem}", err=True)
        raise CommandFailed(str(problems[-1]), Exit.CONFIGURATION)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _entry(task: ScheduledTask, runs: int) -> dict[str, Any]:
    return {
        "name": task.name,
        "schedule": str(task.schedule),
        "kind": "job" if task.job else "function",
        "runs": task.job.name if task.job else _label(task.func),
        "payload": task.job.payload if task.job else None,
        "misfire": task.misfire,
        "next_runs": list(islice(_ticks(task), runs)),
    }


def _ticks(task: ScheduledTask) -> Iterator[datetime]:
    tick = task.next_run_at
    while True:
        yield tick
        tick = task.schedule.next_after(tick)


def _label(function: object) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', '?')}"


def _print(entries: list[dict[str, Any]]) -> None:
    if not entries:
        click.echo("no entries: set JOBS_SCHEDULE_JSON, or name an application with -A", err=True)
        return
    made = table("Name", "Schedule", "Runs", "Missed", "Next run", "")
    for entry in entries:
        first, *later = entry["next_runs"]
        made.add_row(
            *map(Text, (entry["name"], entry["schedule"], f"{entry['kind']} {entry['runs']}", entry["misfire"])),
            stamp(first), until(first),
        )  # fmt: skip
        for tick in later:
            made.add_row("", "", "", "", stamp(tick), until(tick))
    console().print(made)
