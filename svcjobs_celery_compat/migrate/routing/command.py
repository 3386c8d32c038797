"""The command ``svcjobs migrate route``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from svcjobs.cli.exits import CommandFailed
from svcjobs.cli.output import console, json_option, print_json, table
from svcjobs.cli.queues import Place, place_options
from svcjobs.easy import open_client
from svcjobs.settings import QueueSettings
from svcjobs_celery_compat.migrate.fleet import ask_workers, open_app, unattended
from svcjobs_celery_compat.migrate.routing.route import Route, Side
from svcjobs_celery_compat.migrate.routing.store import RouteStore
from svcjobs_celery_compat.migrate.routing.table import RouteTable
from svcjobs_celery_compat.transport.cluster import root_on


@click.command()
@click.argument("pattern", required=False)
@click.option("--to", "side", type=click.Choice([*map(str, Side)]), help="The workers that shall run them.")
@click.option("--percent", type=click.FloatRange(0, 100), metavar="N",
              help="Share of the tasks, by their ids (100). The rest goes where all workers take tasks.")  # fmt: skip
@click.option("--remove", is_flag=True, help="Remove the route of this pattern.")
@click.option("--back", is_flag=True, help="Go back to the table as it was before the last change.")
@click.option("--force", is_flag=True, help="Don't ask whether a worker is there to take the tasks.")
@json_option
@place_options
def route(
    pattern: str | None,
    *,
    side: str | None,
    percent: float | None,
    remove: bool,
    back: bool,
    force: bool,
    as_json: bool,
    place: Place,
) -> None:
    """Say which kind of worker runs the tasks whose names fit PATTERN; without any, list what was said.

    Producers on svcjobs:// obey within five seconds, those of Celery and those of svcjobs.

    \b
    svcjobs migrate route 'proj.tasks.*' --to svcjobs --percent 10
    svcjobs migrate route 'proj.tasks.*' --remove
    svcjobs migrate route --back
    """
    _check_usage(pattern, side=side, percent=percent, remove=remove, back=back)
    place.check_shared()
    wanted = Route(pattern, Side(side), 100.0 if percent is None else percent) if pattern and side else None
    if wanted and wanted.percent and not force:
        _check_attended(place, wanted.to)
    client = open_client(place.url)
    try:
        store = RouteStore(client, root_on(client, QueueSettings.from_environment().prefix))
        if back:
            routes = store.back()
        elif wanted is not None:
            routes = store.change(lambda routes: routes.with_route(wanted))
        elif pattern is not None:
            routes = store.change(partial(RouteTable.without, pattern=pattern))
        else:
            routes = store.read()
    finally:
        client.close()
    _show(routes, as_json=as_json)


def _check_usage(pattern: str | None, *, side: Any, percent: Any, remove: bool, back: bool) -> None:
    if back and (pattern or side or remove):
        raise click.UsageError("--back goes alone: it undoes the last change, whatever that was")
    if remove and side:
        raise click.UsageError("--remove and --to don't go together")
    if pattern and not (side or remove):
        raise click.UsageError(f"what about {pattern!r}? Add --to svcjobs, --to celery or --remove")
    if not pattern and (side or remove):
        raise click.UsageError("the pattern is missing: name the tasks, such as 'proj.tasks.*'")
    if percent is not None and not side:
        raise click.UsageError("--percent goes with --to")


def _check_attended(place: Place, side: Side) -> None:
    """Refuse to send tasks where they would wait for a worker that isn't there.

    Raises:
        CommandFailed: no worker of that side takes tasks that go to its side only.
    """
    with open_app(place) as app:
        workers = ask_workers(app)
    missing = unattended(workers, side)
    if not missing:
        return
    told = f"no {side} worker takes {', '.join(missing)}, where such tasks would wait"
    if any(queue.endswith(f".{side}") for worker in workers if worker.side is side for queue in worker.queues):
        click.echo(f"svcjobs: {told}", err=True)
        return
    also = {Side.SVCJOBS: "svcjobs worker -A proj -Q ", Side.CELERY: "celery -A proj worker -Q "}[side]
    raise CommandFailed(f"{told}: start one first, such as `{also}{','.join(missing)}`, or say --force")


def _show(routes: RouteTable, *, as_json: bool) -> None:
    if as_json:
        print_json({"routes": [route.document() for route in routes]})
    elif not routes:
        click.echo("no routes: all tasks go where all workers take them")
    else:
        made = table("Tasks", "Go to", "Percent", "In the queues", numbers=("Percent",))
        for one in routes:
            made.add_row(one.pattern, one.to, f"{one.percent:g}", one.to.queue_beside("…"))
        console().print(made)
