"""The command ``svcjobs migrate status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import redis
from redis.exceptions import RedisClusterException
from rich.text import Text

from svcjobs._redis.failures import translate
from svcjobs.cli.output import console, duration, json_option, print_json, table
from svcjobs.cli.queues import Place, place_options
from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.migrate.fleet import ask_workers, open_app
from svcjobs_celery_compat.migrate.routing.route import Side
from svcjobs_celery_compat.migrate.routing.store import RouteStore
from svcjobs_celery_compat.migrate.status.report import QueueDepth, Report, TaskStatus, queues_of
from svcjobs_celery_compat.migrate.status.runs import Runs, TaskRuns

MOST_DEAD = 1000
"""So many dead letters of each queue are looked at."""


@click.command()
@json_option
@place_options
def status(*, as_json: bool, place: Place) -> None:
    """Show, task by task, where it is sent, where it last ran, what waits, and how it fares on each side.

    Below that are warnings: tasks that only one kind of worker knows, and queues that nobody takes tasks from.
    """
    report = _report(place)
    if as_json:
        print_json(_document(report))
        return
    console().print(_table(report.tasks()))
    for warning in report.warnings():
        console().print(Text(f"! {warning}", style="yellow"))


def _report(place: Place) -> Report:
    with open_app(place) as app, app.connection_for_read() as connection:
        channel = connection.default_channel
        client, root = channel.client, channel.options.root
        routes = RouteStore(client, root).read()
        workers = ask_workers(app)
        try:
            runs = Runs(client, root).read()
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise translate(error) from error
        depths = {name: _depth(name, channel.queues.named(name)) for name in queues_of(workers, runs)}
    return Report(routes, runs, workers, depths)


def _depth(name: str, queue: RedisJobQueue) -> QueueDepth:
    stats = queue.stats()
    dead = Counter(job.name for job in queue.dead(MOST_DEAD)) if stats.dead else Counter()
    return QueueDepth(name, stats.ready + stats.delayed, stats.in_flight, stats.dead, dead)


def _document(report: Report) -> dict[str, Any]:
    return {
        "tasks": report.tasks(),
        "queues": list(report.depths.values()),
        "workers": [{"name": one.name, "side": one.side, "queues": one.queues} for one in report.workers],
        "warnings": report.warnings(),
    }


def _table(tasks: Sequence[TaskStatus]) -> Any:
    numbers = ("Waiting", "Dead")
    failed = [f"Failed on {side}" for side in Side]
    made = table("Task", "Goes to", "Queue", "Waiting", "Last ran on", *failed, "Dead", numbers=numbers)
    for one in tasks:
        sent = f"{one.to} {one.percent:g} %" if one.to else "any"
        waiting = "-" if one.waiting is None else str(one.waiting)
        made.add_row(
            one.task, sent, one.queue or "-", waiting, _last(one),
            *(_failed(one.runs.get(side)) for side in Side), Text(str(one.dead), style="red" if one.dead else ""),
        )  # fmt: skip
    return made


def _last(status: TaskStatus) -> str:
    run = status.runs[status.last] if status.last else None
    if run is None or run.last_at is None:
        return "-"
    ago = duration((datetime.now(UTC) - run.last_at).total_seconds())
    return f"{status.last}, {ago} ago ({run.worker})"


def _failed(run: TaskRuns | None) -> str:
    return f"{run.failed} of {run.done + run.failed}" if run else "-"
