"""``celery purge``."""

from __future__ import annotations

from typing import Any

import click

from svcjobs_celery_compat.bin.base import COMMA_SEPARATED_LIST, CeleryCommand, CeleryOption, handle_preload_options
from svcjobs_celery_compat.utils import text

PURGING = "Purging Options"


@click.command(cls=CeleryCommand)
@click.option(
    "-f", "--force", cls=CeleryOption, is_flag=True, help_group=PURGING, help="Don't prompt for verification."
)
@click.option("-Q", "--queues", cls=CeleryOption, type=COMMA_SEPARATED_LIST, help_group=PURGING,
              help="Comma separated list of queue names to purge.")  # fmt: skip
@click.option("-X", "--exclude-queues", cls=CeleryOption, type=COMMA_SEPARATED_LIST, help_group=PURGING,
              help="Comma separated list of queues names not to purge.")  # fmt: skip
@click.pass_context
@handle_preload_options
def purge(ctx: click.Context, /, force: bool, queues: Any, exclude_queues: Any, **kwargs: Any) -> None:
    """Erase all messages from all known task queues.

    Warning:

        There's no undo operation for this command.
    """
    app = ctx.obj.app
    names = set(queues or app.amqp.queues.keys()) - set(exclude_queues or ())
    listed = ", ".join(sorted(names))
    if not names:
        ctx.obj.echo("No queues to purge.")
        return
    if not force:
        what = text.pluralize(len(names), "queue")
        click.confirm(
            f"{ctx.obj.style('WARNING', fg='red')}: This will remove all tasks from {what}: {listed}.\n"
            "         There is no undo for this operation!\n\n"
            "(to skip this prompt use the -f option)\nAre you sure you want to delete all tasks?",
            abort=True,
        )
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        removed = sum(_purged(channel, name, connection) for name in names)
    if removed:
        many = text.pluralize(len(names), "queue")
        ctx.obj.echo(f"Purged {removed} {text.pluralize(removed, 'message')} from {len(names)} known task {many}.")
    else:
        ctx.obj.echo(f"No messages purged from {len(names)} {text.pluralize(len(names), 'queue')}.")


def _purged(channel: Any, name: str, connection: Any) -> int:
    try:
        return channel.queue_purge(name) or 0
    except connection.channel_errors:
        return 0
