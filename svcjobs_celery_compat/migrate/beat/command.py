"""The command ``svcjobs migrate beat``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from svcjobs.easy import open_client, open_queue
from svcjobs.errors import ConfigurationError
from svcjobs.settings import redis_url
from svcjobs_celery_compat.beat.redis_scheduler import RedisScheduler
from svcjobs_celery_compat.migrate.beat.native import NativeEntry, native_entry
from svcjobs_celery_compat.migrate.beat.source import Found, of_app, of_database, of_file

CLEANUP = "celery.backend_cleanup"
"""Celery's own entry: results in Redis expire by themselves."""


@click.command()
@click.option("-A", "--app", "target", metavar="MODULE[:NAME]", help="The Celery app: its entries, and its time zone.")
@click.option("--file", "path", type=click.Path(path_type=Path), help="The file of a Celery beat: celerybeat-schedule.")
@click.option("--database", metavar="URL", help="A database of django-celery-beat, as an SQLAlchemy URL.")
@click.option("--timezone", help="The time zone of crontabs. Default: that of the app, or UTC.")
@click.option(
    "--take-over", is_flag=True,
    help="Store when each entry ran last, for the native schedule, and for `svcjobs beat -A` if there is an app.",
)  # fmt: skip
def beat(target: str | None, path: Path | None, database: str | None, timezone: str | None, take_over: bool) -> None:
    """Print a Celery schedule as JSON for JOBS_SCHEDULE_JSON.

    What can't be expressed is said on standard error; the exit code is 1 then. To cut over: stop Celery's beat, run
    this with --take-over, start the new one. It serves what came due in between, once.
    """
    app = _app(target) if target else None
    if app is None and path is None and database is None:
        raise click.UsageError("name a schedule: -A for an app, --file, or --database")
    found = _merged(
        [
            *(of_app(app) if app else ()),
            *(of_file(path) if path else ()),
            *(of_database(database) if database else ()),
        ]
    )
    zone = timezone or (app.timezone if app else "UTC")
    entries = [entry for entry in (native_entry(item, zone) for item in found) if entry]
    click.echo(json.dumps(entries, ensure_ascii=False, indent=2))
    if take_over:
        if path is None and database is None:
            raise click.UsageError("--take-over needs the times of the last runs: give --file or --database")
        _take_over(found, entries, app)
    problems = [f"{item.name}: {problem}" for item in found for problem in item.problems]
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        click.get_current_context().exit(1)


def _app(target: str) -> Any:
    """The app, made of our classes: what the project imports as celery is this package, unless it is there already."""
    with suppress(ImportError):
        import svcjobs_celery_compat.alias  # noqa: F401  # takes effect by being imported
    from svcjobs_celery_compat.app.utils import find_app

    try:
        return find_app(target)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{target} names no Celery app: {error}") from error


def _merged(found: Iterable[Found]) -> Sequence[Found]:
    """One of each name: as it was found first, with the time of its last run that was found last."""
    by_name: dict[str, Found] = {}
    for item in found:
        known = by_name.setdefault(item.name, item)
        if known.entry and item.entry:
            known.entry.last_run_at = item.entry.last_run_at
    return [item for name, item in by_name.items() if name != CLEANUP]


def _take_over(found: Sequence[Found], entries: Sequence[NativeEntry], app: Any) -> None:
    client = open_client(redis_url())
    native = open_queue(client)
    names = {entry["name"] for entry in entries}
    scheduler = RedisScheduler(app, lazy=True) if app else None
    try:
        for item in found:
            if item.entry is None:
                continue
            homes = [native] if item.name in names else []
            if scheduler is not None:
                homes.append(scheduler.home(item.entry))
            for home in homes:
                home.claim_tick(item.name, item.entry.last_run_at.timestamp())
            click.echo(f"{item.name}: last ran at {item.entry.last_run_at.isoformat()}", err=True)
    finally:
        if scheduler is not None:
            scheduler.close()
        native.close()
        client.close()
