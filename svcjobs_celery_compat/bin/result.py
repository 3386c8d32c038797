"""``celery result``."""

from __future__ import annotations

import click

from svcjobs_celery_compat.bin.base import CeleryCommand, CeleryOption, handle_preload_options


@click.command(cls=CeleryCommand)
@click.argument("task_id")
@click.option("-t", "--task", cls=CeleryOption, help_group="Result Options", help="Name of task (if custom backend).")
@click.option(
    "--traceback", cls=CeleryOption, is_flag=True, help_group="Result Options", help="Show traceback instead."
)
@click.pass_context
@handle_preload_options
def result(ctx: click.Context, /, task_id: str, task: str | None, traceback: bool) -> None:
    """Print the return value for a given task id."""
    app = ctx.obj.app
    results = app.tasks[task].AsyncResult if task else app.AsyncResult
    found = results(task_id)
    ctx.obj.echo(found.traceback if traceback else found.get())
