"""The command ``celery events``."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from svcjobs_celery_compat.bin.base import (
    LOG_LEVEL,
    CeleryDaemonCommand,
    CeleryOption,
    handle_preload_options,
    handle_remote_command_error,
)
from svcjobs_celery_compat.platforms import detached, set_process_title, strargv


def _set_process_status(prog: str, info: str = "") -> None:
    set_process_title(f"celery events:{prog}", info=f"{info} {strargv(sys.argv)}")


def _run_evdump(app: Any) -> None:
    from svcjobs_celery_compat.events.dumper import evdump

    _set_process_status("dump")
    evdump(app=app)


def _run_evcam(
    camera: str,
    app: Any,
    logfile: str | None = None,
    pidfile: str | None = None,
    uid: str | None = None,
    gid: str | None = None,
    umask: str | None = None,
    workdir: str | None = None,
    detach: bool = False,
    **kwargs: Any,
) -> None:
    from svcjobs_celery_compat.events.snapshot import evcam

    _set_process_status("cam")
    run = partial(evcam, camera, app=app, logfile=logfile, pidfile=pidfile, **kwargs)
    if detach:
        with detached(logfile, pidfile, uid, gid, umask or 0, workdir):
            run()
    else:
        run()


def _run_evtop(app: Any) -> None:
    try:
        from svcjobs_celery_compat.events.cursesmon import evtop
    except ModuleNotFoundError as error:
        raise click.UsageError("the monitor needs Python's module curses, which isn't here") from error
    _set_process_status("top")
    evtop(app=app)


@click.command(cls=CeleryDaemonCommand)
@click.option("-d", "--dump", cls=CeleryOption, is_flag=True, help_group="Dumper", help="Write events as they come.")
@click.option(
    "-c", "--camera", cls=CeleryOption, help_group="Snapshot", help="Take snapshots with this class of camera."
)
@click.option(
    "--detach", cls=CeleryOption, is_flag=True, help_group="Snapshot", help="Run in the background, as a daemon."
)
@click.option(
    "-F",
    "--frequency",
    "--freq",
    type=float,
    default=1.0,
    cls=CeleryOption,
    help_group="Snapshot",
    help="Seconds between snapshots.",
)
@click.option("-r", "--maxrate", cls=CeleryOption, help_group="Snapshot", help="Most snapshots, such as 10/m.")
@click.option(
    "-l",
    "--loglevel",
    default="WARNING",
    cls=CeleryOption,
    type=LOG_LEVEL,
    help_group="Snapshot",
    help="Logging level.",
)
@click.pass_context
@handle_preload_options
def events(
    ctx: click.Context, /, dump: bool, camera: str | None, detach: bool, frequency: float, **kwargs: Any
) -> None:
    """Watch what workers tell: in a monitor on the terminal, as lines of text, or by snapshots."""
    app = ctx.obj.app
    try:
        if dump:
            _run_evdump(app)
        elif camera:
            _run_evcam(camera, app=app, detach=detach, freq=frequency, **kwargs)
        else:
            _run_evtop(app)
    except Exception as error:  # noqa: BLE001  # it is said in a sentence
        handle_remote_command_error("events", error)
