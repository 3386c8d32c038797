"""The command ``svcjobs migrate``, found by its entry point; each subcommand is loaded when it is named."""

from __future__ import annotations

from importlib import import_module

import click

SUBCOMMANDS = {
    "beat": "svcjobs_celery_compat.migrate.beat.command:beat",
    "check": "svcjobs_celery_compat.migrate.check.command:check",
    "route": "svcjobs_celery_compat.migrate.routing.command:route",
    "status": "svcjobs_celery_compat.migrate.status.command:status",
}


class Migrate(click.Group):
    """A group whose commands are looked up by path."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, name = SUBCOMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=Migrate)
def migrate() -> None:
    """Move a code base from Celery, step by step."""
