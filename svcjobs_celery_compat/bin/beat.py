"""The command ``celery beat``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from svcjobs_celery_compat.bin.base import LOG_LEVEL, CeleryDaemonCommand, CeleryOption, handle_preload_options
from svcjobs_celery_compat.platforms import detached, maybe_drop_privileges

GROUP = "Beat Options"


@click.command(cls=CeleryDaemonCommand, context_settings={"allow_extra_args": True})
@click.option(
    "--detach",
    cls=CeleryOption,
    is_flag=True,
    default=False,
    help_group=GROUP,
    help="Run in the background, as a daemon.",
)
@click.option(
    "-s",
    "--schedule",
    cls=CeleryOption,
    help_group=GROUP,
    callback=lambda ctx, _, value: value or ctx.obj.app.conf.beat_schedule_filename,
    help="The file of a scheduler that keeps one; celerybeat-schedule by default.",
)
@click.option(
    "-S",
    "--scheduler",
    cls=CeleryOption,
    help_group=GROUP,
    callback=lambda ctx, _, value: value or ctx.obj.app.conf.beat_scheduler,
    help="The scheduler's class. By default it keeps its state in the broker's Redis, and any number may run.",
)
@click.option(
    "--max-interval",
    cls=CeleryOption,
    type=int,
    help_group=GROUP,
    help="Most seconds between looks at the schedule.",
)
@click.option(
    "--enable-remote-control/--no-enable-remote-control",
    "remote_control",
    cls=CeleryOption,
    default=None,
    help_group=GROUP,
    help="Answer `celery inspect ping`; overrides beat_enable_remote_control.",
)
@click.option(
    "-n",
    "--hostname",
    cls=CeleryOption,
    default=None,
    help_group=GROUP,
    help="The name under which pings are answered; celerybeat@%h by default.",
)
@click.option(
    "-l", "--loglevel", default="WARNING", cls=CeleryOption, type=LOG_LEVEL, help_group=GROUP, help="Logging level."
)
@click.pass_context
@handle_preload_options
def beat(
    ctx: click.Context,
    /,
    detach: bool = False,
    logfile: str | None = None,
    pidfile: str | None = None,
    uid: str | None = None,
    gid: str | None = None,
    umask: str | None = None,
    workdir: str | None = None,
    **kwargs: Any,
) -> None:
    """Start the beat periodic task scheduler."""
    app = ctx.obj.app
    if ctx.args:
        try:
            app.config_from_cmdline(ctx.args)
        except (KeyError, ValueError) as error:
            raise click.UsageError(f"can't read these settings: {error}", ctx=ctx) from error
    if not detach:
        maybe_drop_privileges(uid=uid, gid=gid)
    run = partial(app.Beat, logfile=logfile, pidfile=pidfile, quiet=ctx.obj.quiet, no_color=ctx.obj.no_color, **kwargs)
    if detach:
        with detached(logfile, pidfile, uid, gid, umask or 0, workdir):
            run().run()
    else:
        run().run()
