"""The command ``svcjobs migrate check``."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from svcjobs_celery_compat.migrate.check.finding import Finding, Verdict
from svcjobs_celery_compat.migrate.check.project import check_path

WIDE = 160
"""Columns of a table that goes to a file or a pipe."""


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--all", "every", is_flag=True, help="List what is supported as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(path: Path, every: bool, as_json: bool) -> None:
    """List, by file and line, what the code at PATH uses of Celery and how that fares on svcjobs.

    The code is read and never run. Exit code 1 says that something is missing.
    """
    findings = _found(path)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        _show(findings, every)
    if any(finding.verdict is Verdict.MISSING for finding in findings):
        click.get_current_context().exit(1)


def _found(path: Path) -> list[Finding]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")
        return check_path(path, lambda file: progress.update(task, description=f"reading {file}"))


def _show(findings: Sequence[Finding], every: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    shown = [finding for finding in findings if every or finding.verdict is not Verdict.SUPPORTED]
    if shown:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("where", no_wrap=True)
        for column in ("use", "verdict", "what to do"):
            table.add_column(column, overflow="fold")
        for finding in shown:
            table.add_row(f"{finding.path}:{finding.line}", finding.use, finding.verdict, finding.advice)
        console.print(table)
    counts = Counter(finding.verdict for finding in findings)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict))
