"""``celery list``."""

from __future__ import annotations

from typing import Any

import click

from svcjobs_celery_compat.bin.base import CeleryCommand, handle_preload_options


@click.group(name="list")
@click.pass_context
@handle_preload_options
def list_(ctx: click.Context, /, **kwargs: Any) -> None:
    """Get info from broker.

    Note:

        For RabbitMQ the management plugin is required.
    """


@list_.command(cls=CeleryCommand)
@click.pass_context
def bindings(ctx: click.Context) -> None:
    """Inspect queue bindings."""
    # declares the queues, so that there is something to see
    app = ctx.obj.app
    with app.connection() as connection:
        app.amqp.TaskConsumer(connection).declare()
        try:
            found = connection.manager.get_bindings()
        except NotImplementedError:
            raise click.UsageError("Your transport cannot list bindings.") from None
    row = "{0:<28} {1:<28} {2}"
    ctx.obj.echo(row.format("Queue", "Exchange", "Routing Key"))
    ctx.obj.echo(row.format("-" * 16, "-" * 16, "-" * 16))
    for binding in found:
        ctx.obj.echo(row.format(binding["destination"], binding["source"], binding["routing_key"]))
