"""``celery migrate``: moves messages from one broker to another."""

from __future__ import annotations

from typing import Any

import click
from kombu import Connection

from svcjobs_celery_compat.bin.base import CeleryCommand, CeleryOption, handle_preload_options
from svcjobs_celery_compat.contrib.migrate import migrate_tasks

MIGRATION = "Migration Options"


@click.command(cls=CeleryCommand)
@click.argument("source")
@click.argument("destination")
@click.option("-n", "--limit", cls=CeleryOption, type=int, help_group=MIGRATION, help="Number of tasks to consume.")
@click.option("-t", "--timeout", cls=CeleryOption, type=float, help_group=MIGRATION,
              help="Timeout in seconds waiting for tasks.")  # fmt: skip
@click.option("-a", "--ack-messages", cls=CeleryOption, is_flag=True, help_group=MIGRATION,
              help="Ack messages from source broker.")  # fmt: skip
@click.option("-T", "--tasks", cls=CeleryOption, help_group=MIGRATION, help="List of task names to filter on.")
@click.option("-Q", "--queues", cls=CeleryOption, help_group=MIGRATION, help="List of queues to migrate.")
@click.option("-F", "--forever", cls=CeleryOption, is_flag=True, help_group=MIGRATION,
              help="Continually migrate tasks until killed.")  # fmt: skip
@click.pass_context
@handle_preload_options
def migrate(ctx: click.Context, /, source: str, destination: str, **kwargs: Any) -> None:
    """Migrate tasks from one broker to another.

    The source may be any broker that kombu has; messages stay there unless --ack-messages is given.
    """

    def told(state: Any, body: Any, message: Any) -> None:
        ctx.obj.echo(f"Migrating task {state.count}/{state.strtotal}: {body['task']}[{body['id']}]")

    app = ctx.obj.app
    migrate_tasks(Connection(source), app.connection_for_write(destination), callback=told, app=app, **kwargs)
