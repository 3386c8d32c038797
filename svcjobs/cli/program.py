"""The program: its commands, and those that other packages add by the entry point group ``svcjobs.commands``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import click

from svcjobs.cli.beat import beat
from svcjobs.cli.cancel import cancel
from svcjobs.cli.completion import completion
from svcjobs.cli.control import pause, purge, resume
from svcjobs.cli.dashboard import dashboard
from svcjobs.cli.dev import dev
from svcjobs.cli.dlq import dlq
from svcjobs.cli.enqueue import enqueue
from svcjobs.cli.exits import CommandFailed, Exit, end
from svcjobs.cli.job import show_job
from svcjobs.cli.outbox import outbox
from svcjobs.cli.schedule import schedule
from svcjobs.cli.status import status
from svcjobs.cli.worker import worker
from svcjobs.cli.workers import workers
from svcjobs.errors import JobsError

PLUGIN_GROUP = "svcjobs.commands"


class Program(click.Group):
    """A group that also has the commands of plugins. A broken plugin is named and left out."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(name for name in sorted(_plugins()) if self.get_command(ctx, name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if command := super().get_command(ctx, cmd_name):
            return command
        if entry := _plugins().get(cmd_name):
            command = _load(entry)
            if command is not None:
                self.add_command(command, cmd_name)
            return command
        return None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (JobsError, CommandFailed) as error:
            end(ctx, error)
        except KeyboardInterrupt:
            end(ctx, CommandFailed("interrupted", Exit.INTERRUPTED))


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=PLUGIN_GROUP)}


def _load(entry: EntryPoint) -> click.Command | None:
    try:
        command = entry.load()
    except Exception as error:  # noqa: BLE001  # whatever a plugin's import raises, our own commands must go on
        click.echo(f"svcjobs: command {entry.name} can't be loaded: {type(error).__name__}: {error}", err=True)
        return None
    if not isinstance(command, click.Command):
        click.echo(f"svcjobs: command {entry.name} can't be loaded: {entry.value} isn't a click command", err=True)
        return None
    return command


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("svcjobs"), prog_name="svcjobs")
def main() -> None:
    """Durable background jobs on Redis.

    The server is REDIS_URL (or JOBS_REDIS_URL); set JOBS_DRIVER=redis, or pass --redis-url.

    \b
    Exit codes: 0 done, 1 failed or not found, 2 wrong usage,
    69 the server can't be reached or can't serve, 78 wrong configuration, 130 ended by Ctrl-C.
    """


for _command in (
    dev,
    worker,
    workers,
    beat,
    enqueue,
    status,
    show_job,
    cancel,
    dlq,
    pause,
    resume,
    purge,
    schedule,
    outbox,
    dashboard,
    completion,
):
    main.add_command(_command)
