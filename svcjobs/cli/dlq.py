"""``svcjobs dlq``: the dead letter queue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import click
from rich.text import Text

from svcjobs.cli.bulk import Verb, dry_run_option, run_bulk, yes_option
from svcjobs.cli.completion import complete_dead_ids
from svcjobs.cli.filters import Filter, filter_options
from svcjobs.cli.output import console, first_line, json_option, print_json, stamp, table
from svcjobs.cli.queues import Place, place_options, queue_option, queues_option
from svcjobs.cli.singles import act_on_each, check_choice
from svcjobs.cli.sweeps import sweep_dead
from svcjobs.errors import JobNotFound
from svcjobs.job import Job
from svcjobs.queue import JobQueue

_ids = click.argument("job_ids", nargs=-1, metavar="[ID]...", shell_complete=complete_dead_ids)
_all = click.option("--all", "whole", is_flag=True, help="All jobs of the dead letter queue.")

_SHOWN = (
    "id", "name", "queue", "reason", "last_error", "attempts", "max_attempts", "backoff_seconds", "priority",
    "available_at", "dead_at", "payload", "headers", "history", "traceback",
)  # fmt: skip


@click.group
def dlq() -> None:
    """See, requeue or remove dead jobs."""


@dlq.command("list")
@queue_option
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many to list.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="How many of the newest to skip.")
@json_option
@place_options
def list_dead(name: str | None, *, limit: int, offset: int, as_json: bool, place: Place) -> None:
    """List dead jobs, newest first."""
    with place.open_one(name) as queue:
        jobs, total = queue.dead(limit, offset), queue.stats().dead
    if as_json:
        print_json({"queue": queue.name, "total": total, "jobs": [_document(job) for job in jobs]})
        return
    if jobs:
        made = table("Id", "Name", "Reason", "Attempts", "Died", "Error", numbers=("Attempts",))
        for job in jobs:
            made.add_row(
                *map(Text, (job.id, job.name, job.reason or "-", f"{job.attempts}/{job.max_attempts}")),
                stamp(job.dead_at), Text(first_line(job.last_error)),
            )  # fmt: skip
        console().print(made)
    click.echo(f"{len(jobs)} of {total} dead jobs in {queue.name}", err=True)


@dlq.command
@click.argument("job_id", metavar="ID", shell_complete=complete_dead_ids)
@queue_option
@json_option
@place_options
def show(job_id: str, *, name: str | None, as_json: bool, place: Place) -> None:
    """Show one job: why it died, every failed attempt, its payload."""
    with place.open_one(name) as queue:
        job = queue.get(job_id)
    if job is None:
        raise JobNotFound(f"no job {job_id} in {queue.name}")
    if as_json:
        print_json(_document(job))
        return
    for field, value in (
        ("id", job.id), ("name", job.name), ("queue", queue.name), ("reason", job.reason or "-"),
        ("died", stamp(job.dead_at)), ("attempts", f"{job.attempts} of {job.max_attempts}"),
        ("error", first_line(job.last_error, 1000) or "-"),
    ):  # fmt: skip
        click.echo(f"{field:<9} {value}")
    if "\n" in (job.last_error or "").strip():
        _section("error", str(job.last_error))
    _section("payload", json.dumps(job.payload, ensure_ascii=False, indent=2))
    if job.history:
        _section("history", "\n".join(_attempt(entry) for entry in job.history))
    if job.traceback:
        _section("traceback", job.traceback.rstrip())


@dlq.command
@_ids
@queues_option
@_all
@filter_options(dead=True)
@dry_run_option
@yes_option
@json_option
@place_options
def requeue(
    job_ids: tuple[str, ...], names: tuple[str, ...], *, whole: bool, chosen: Filter, dry_run: bool, yes: bool,
    as_json: bool, place: Place,
) -> None:  # fmt: skip
    """Make dead jobs ready again: same id, attempts from zero.

    \b
    svcjobs dlq requeue 17 18
    svcjobs dlq requeue --name 'send_*' --error timeout --newer-than 2h --dry-run
    """
    check_choice(job_ids, names, chosen, whole=whole, dry_run=dry_run)
    with place.open(names) as queues:
        if job_ids:
            act_on_each("requeued", job_ids, queues[0].requeue, as_json=as_json)
        else:
            run_bulk(queues, _REQUEUE, chosen, dry_run=dry_run, yes=yes, as_json=as_json)


@dlq.command
@_ids
@queues_option
@_all
@filter_options(dead=True)
@dry_run_option
@yes_option
@json_option
@place_options
def purge(
    job_ids: tuple[str, ...], names: tuple[str, ...], *, whole: bool, chosen: Filter, dry_run: bool, yes: bool,
    as_json: bool, place: Place,
) -> None:  # fmt: skip
    """Discard dead jobs: remove them for good.

    \b
    svcjobs dlq purge 17 18
    svcjobs dlq purge --reason cancelled --older-than 7d --yes
    """
    check_choice(job_ids, names, chosen, whole=whole, dry_run=dry_run)
    with place.open(names) as queues:
        if job_ids:
            act_on_each("removed", job_ids, lambda job_id: _remove(queues[0], job_id), as_json=as_json)
        else:
            run_bulk(queues, _PURGE, chosen, dry_run=dry_run, yes=yes, as_json=as_json)


def _requeue_many(queue: JobQueue, job_ids: Sequence[str]) -> Mapping[str, int]:
    done = queue.requeue_many(job_ids)
    return Counter("requeued" if one else "refused" for one in done)


def _purge_many(queue: JobQueue, job_ids: Sequence[str]) -> Mapping[str, int]:
    return {"removed": queue.purge_dead(job_ids)}


_REQUEUE = Verb("requeue", "requeued", "dead jobs", lambda stats: stats.dead, _requeue_many, sweep_dead)
_PURGE = Verb("remove", "removed", "dead jobs", lambda stats: stats.dead, _purge_many, sweep_dead)


def _remove(queue: JobQueue, job_id: str) -> None:
    if not queue.purge_dead(job_id):
        raise JobNotFound(f"no job {job_id} in the dead letter queue of {queue.name}")


def _document(job: Job) -> dict[str, object]:
    return {field: getattr(job, field) for field in _SHOWN}


def _attempt(entry: dict[str, object]) -> str:
    return f"attempt {entry.get('attempt', '?')}  {entry.get('at', '')}  {first_line(str(entry.get('error', '')))}"


def _section(title: str, text: str) -> None:
    click.echo(f"\n{title}:")
    click.echo("\n".join(f"  {line}" for line in text.splitlines()))
