"""``svcjobs pause``, ``resume`` and ``purge``: what changes a whole queue."""

from __future__ import annotations

from collections.abc import Sequence

import click

from svcjobs.cli.output import json_option, tell
from svcjobs.cli.queues import Place, place_options, queue_option, queues_option
from svcjobs.queue import JobQueue


@click.command
@queues_option
@json_option
@place_options
def pause(names: tuple[str, ...], *, as_json: bool, place: Place) -> None:
    """Hand out no more jobs, on any worker, until `resume`.

    What is running runs on, and new jobs are still stored.
    """
    with place.open(names) as queues:
        for queue in queues:
            queue.pause()
        _tell("paused", queues, as_json=as_json)


@click.command
@queues_option
@json_option
@place_options
def resume(names: tuple[str, ...], *, as_json: bool, place: Place) -> None:
    """Hand out jobs again after `pause`."""
    with place.open(names) as queues:
        for queue in queues:
            queue.resume()
        _tell("resumed", queues, as_json=as_json)


@click.command
@queue_option
@click.option("--yes", is_flag=True, help="Don't ask.")
@json_option
@place_options
def purge(name: str | None, *, yes: bool, as_json: bool, place: Place) -> None:
    """Remove all jobs that wait, ready or delayed.

    Running and dead ones stay; for the latter see `svcjobs dlq purge`.
    """
    with place.open_one(name) as queue:
        if not yes:
            stats = queue.stats()
            click.confirm(
                f"Remove {stats.ready} ready and {stats.delayed} delayed jobs from {queue.name}?", abort=True, err=True
            )
        removed = queue.purge()
    tell(f"removed {removed} jobs from {queue.name}", {"queue": queue.name, "removed": removed}, as_json=as_json)


def _tell(what: str, queues: Sequence[JobQueue], *, as_json: bool) -> None:
    names = [queue.name for queue in queues]
    tell("\n".join(f"{what} {name}" for name in names), {what: names}, as_json=as_json)
