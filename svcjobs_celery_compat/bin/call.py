"""``celery call``."""

from __future__ import annotations

from typing import Any

import click

from svcjobs_celery_compat.bin.base import (
    ISO8601,
    ISO8601_OR_FLOAT,
    JSON_ARRAY,
    JSON_OBJECT,
    CeleryCommand,
    CeleryOption,
    handle_preload_options,
)

CALLING, ROUTING = "Calling Options", "Routing Options"


@click.command(cls=CeleryCommand)
@click.argument("name")
@click.option(
    "-a", "--args", cls=CeleryOption, type=JSON_ARRAY, default="[]", help_group=CALLING, help="Positional arguments."
)
@click.option(
    "-k", "--kwargs", cls=CeleryOption, type=JSON_OBJECT, default="{}", help_group=CALLING, help="Keyword arguments."
)
@click.option("--eta", cls=CeleryOption, type=ISO8601, help_group=CALLING, help="scheduled time.")
@click.option("--countdown", cls=CeleryOption, type=float, help_group=CALLING, help="eta in seconds from now.")
@click.option("--expires", cls=CeleryOption, type=ISO8601_OR_FLOAT, help_group=CALLING, help="expiry time.")
@click.option("--serializer", cls=CeleryOption, default="json", help_group=CALLING, help="task serializer.")
@click.option("--queue", cls=CeleryOption, help_group=ROUTING, help="custom queue name.")
@click.option("--exchange", cls=CeleryOption, help_group=ROUTING, help="custom exchange name.")
@click.option("--routing-key", cls=CeleryOption, help_group=ROUTING, help="custom routing key.")
@click.pass_context
@handle_preload_options
def call(ctx: click.Context, /, name: str, args: Any, kwargs: Any, **options: Any) -> None:
    """Call a task by name."""
    task_id = ctx.obj.app.send_task(name, args=args, kwargs=kwargs, **options).id
    ctx.obj.echo(task_id)
