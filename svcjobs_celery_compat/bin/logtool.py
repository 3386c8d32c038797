"""``celery logtool``: what worker logs tell of tasks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fileinput import FileInput
from typing import Any

import click

from svcjobs_celery_compat.bin.base import CeleryCommand, handle_preload_options

LINE = re.compile(r"^\[.+?\]|^\S+:")
RECEIVED = re.compile(r"Task ([\w.]+)\[(.+?)\] received|Received task: ([\w.]+)\[(.+?)\]")
ENDED = re.compile(r"Task ([\w.]+)\[(.+?)\] (succeeded|raised|retry|rejected|ignored)")


class Audit:
    """Reads logs; see the commands.

    Args:
        on_error: called with each line that tells of a failure, and with those that follow it.
        on_debug: called with each line about a task.
    """

    def __init__(
        self, on_error: Callable[[str], object] | None = None, on_debug: Callable[[str], object] | None = None
    ) -> None:
        self.on_error = on_error
        self.on_debug = on_debug
        self.names: dict[str, str] = {}
        self.ready: set[str] = set()
        self.types: Counter[str] = Counter()
        self.errors = 0

    def run(self, files: Iterable[str]) -> Audit:
        """Read files; standard input when there are none."""
        failed = False
        with FileInput(tuple(files)) as lines:
            for line in lines:
                begins = bool(LINE.match(line))
                failed = self._feed(line.rstrip("\n")) if begins else failed
                if failed and self.on_error:
                    self.on_error(line.rstrip("\n"))
        return self

    def _feed(self, line: str) -> bool:
        if found := RECEIVED.search(line):
            name, task_id = found[1] or found[3], found[2] or found[4]
            self.names[task_id] = name
            self.types[name] += 1
        elif found := ENDED.search(line):
            if found[3] != "retry":
                self.ready.add(found[2])
        else:
            return False
        if self.on_debug:
            self.on_debug(line)
        failed = "raised" in line
        self.errors += failed
        return failed

    def incomplete(self) -> Iterator[str]:
        """Ids of tasks that were received, and whose end isn't in the log."""
        return (task_id for task_id in self.names if task_id not in self.ready)


@click.group()
@click.pass_context
@handle_preload_options
def logtool(ctx: click.Context, /, **kwargs: Any) -> None:
    """The ``celery logtool`` command."""


@logtool.command(cls=CeleryCommand)
@click.argument("files", nargs=-1)
@click.pass_context
def stats(ctx: click.Context, /, files: tuple[str, ...]) -> None:
    """How many tasks there were."""
    audit = Audit().run(files)
    ctx.obj.echo(f"Processed: {len(audit.names)}\nCompleted: {len(audit.ready)}\nErrors: {audit.errors}")
    for name, count in audit.types.most_common():
        ctx.obj.echo(f"{count:8d} {name}")


@logtool.command(cls=CeleryCommand)
@click.argument("files", nargs=-1)
@click.pass_context
def traces(ctx: click.Context, /, files: tuple[str, ...]) -> None:
    """Tracebacks."""
    Audit(on_error=ctx.obj.echo).run(files)


@logtool.command(cls=CeleryCommand)
@click.argument("files", nargs=-1)
@click.pass_context
def errors(ctx: click.Context, /, files: tuple[str, ...]) -> None:
    """Failures, without their tracebacks."""
    Audit(on_error=lambda line: ctx.obj.echo(line) if LINE.match(line) else None).run(files)


@logtool.command(cls=CeleryCommand)
@click.argument("files", nargs=-1)
@click.pass_context
def incomplete(ctx: click.Context, /, files: tuple[str, ...]) -> None:
    """Tasks that began and didn't end."""
    audit = Audit().run(files)
    for task_id in audit.incomplete():
        ctx.obj.echo(f"Did not complete: {task_id} ({audit.names[task_id]})")


@logtool.command(cls=CeleryCommand)
@click.argument("files", nargs=-1)
@click.pass_context
def debug(ctx: click.Context, /, files: tuple[str, ...]) -> None:
    """Lines about tasks."""
    Audit(on_debug=ctx.obj.echo).run(files)
