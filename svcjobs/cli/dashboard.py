"""``svcjobs dashboard``."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack
from typing import Any

import click

from svcjobs.cli import schedules
from svcjobs.cli.applications import application_option, find_application
from svcjobs.cli.foreign import foreign_schedule
from svcjobs.cli.queues import Place, place_options, queues_option
from svcjobs.easy import open_client, open_heartbeats, open_queue
from svcjobs.errors import ConfigurationError
from svcjobs.extras import extra
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduled_task import ScheduledTask
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settings import DashboardSettings

_ANSWER_SECONDS = 5.0
"""People wait longer than programs do."""
_CLOSING_SECONDS = 3


@click.command
@application_option
@queues_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="The port; 0 takes any.")
@click.option("--read-only", is_flag=True, help="Show everything, change nothing.")
@place_options
def dashboard(
    target: str | None, *, names: tuple[str, ...], host: str, port: int, read_only: bool, place: Place
) -> None:
    """Serve the dashboard: queues, jobs, workers and schedules in a browser.

    Without -Q all queues of the server are shown. Beyond this machine a password is needed: JOBS_DASHBOARD_PASSWORD.
    """
    place.check_shared()
    with extra("dashboard", "uvicorn"):
        import uvicorn
    from svcjobs.dashboard import FoundQueues, create_app, loopback_only, password_required  # needs the extra, too
    from svcjobs.dashboard.guard import is_loopback

    password = DashboardSettings.from_environment().password
    if password is None and not is_loopback(host):
        raise ConfigurationError(f"{host} can be reached from other machines: set JOBS_DASHBOARD_PASSWORD")
    # uvicorn raises a signal again once it has stopped
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with ExitStack() as closing:

        def closed_later(thing: Any) -> Any:
            closing.callback(thing.close)
            return thing

        client = closed_later(open_client(place.url))
        home = closed_later(open_queue(client, timeout_seconds=_ANSWER_SECONDS))
        named = [closed_later(open_queue(client, name, timeout_seconds=_ANSWER_SECONDS)) for name in names]
        tasks, problems = _schedule(target, home)
        app = create_app(
            named or closed_later(FoundQueues(client, home)),
            heartbeats=closed_later(open_heartbeats(client)),
            schedule=tasks,
            schedule_problems=problems,
            authenticate=loopback_only if password is None else password_required(password),
            read_only=read_only,
        )
        listener = closed_later(_listen(host, port))
        address, taken = listener.getsockname()[:2]
        click.echo(f"the dashboard is at http://{f'[{address}]' if ':' in address else address}:{taken}/")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, proxy_headers=False, ws="none",
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def _schedule(target: str | None, home: RedisJobQueue) -> tuple[list[ScheduledTask], list[str]]:
    """The entries of the environment and of the application, and what was left out of them and why."""
    scheduler = InMemoryScheduler(queue=home)  # runs nothing
    foreign = foreign_schedule(target, home)
    problems = schedules.load(scheduler, None if foreign else find_application(target))
    own, told = foreign or ([], [])
    return [*scheduler.tasks, *own], [*map(str, problems), *told]


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        # Python adds its own words to the text, and a name that leads nowhere has a negative number
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigurationError(
            f"the dashboard can't listen on {host}:{port}: {reason}; pick another by --host and --port"
        ) from error
