"""What commands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

WIDE = 200
"""Columns of a table that goes to a file or a pipe: rich would cut it to 80."""


def print_json(document: Any) -> None:
    """Print ``document`` as JSON; dataclasses become objects, instants ISO 8601 text."""
    click.echo(json.dumps(document, default=_plain, ensure_ascii=False, indent=2))


def tell(sentence: str, document: Any, *, as_json: bool) -> None:
    """Print what was done: a sentence, or ``document`` as JSON."""
    if as_json:
        print_json(document)
    else:
        click.echo(sentence)


def console() -> Console:
    """A console on stdout, wide when it is no terminal."""
    # rich reads COLUMNS and NO_COLOR itself
    shown = Console(highlight=False)
    return shown if shown.is_terminal else Console(highlight=False, width=WIDE)


def table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns in ``numbers`` are aligned to the right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def duration(seconds: float | None) -> str:
    """Seconds as people read them, in their two largest units: ``850ms``, ``12s``, ``3m 04s``, ``2d 05h``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    whole = int(seconds)
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // smaller_size:02d}{smaller}"
    return f"{whole}s"


def until(instant: datetime | None, now: datetime | None = None) -> str:
    """How long until ``instant``: ``in 3m 04s``, ``now`` when it has passed."""
    if instant is None:
        return "-"
    seconds = (instant - (now or datetime.now(UTC))).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def stamp(instant: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return "-" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def first_line(text: str | None, length: int = 80) -> str:
    """The first line of a text, cut to ``length`` characters."""
    line = (text or "").strip().partition("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return dict(value)
