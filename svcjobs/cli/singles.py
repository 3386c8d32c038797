"""Jobs that a command names by their ids, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from svcjobs.cli.exits import CommandFailed
from svcjobs.cli.filters import Filter
from svcjobs.cli.output import tell
from svcjobs.errors import JobsError, QueueUnavailable


def check_choice(
    job_ids: Sequence[str], queues: Sequence[str], chosen: Filter, *, whole: bool, dry_run: bool
) -> None:  # fmt: skip
    """Refuse what doesn't say clearly which jobs are meant.

    Raises:
        click.UsageError: ids and ``--all`` and a filter aren't exactly one of the three.
    """
    if bool(job_ids) + whole + (not chosen.is_empty) != 1:
        raise click.UsageError("name one or more job ids, or a filter such as --name, or pass --all")
    if job_ids and len(queues) > 1:
        raise click.UsageError("an id belongs to one queue: name one with -Q")
    if job_ids and dry_run:
        raise click.UsageError("--dry-run goes with a filter or --all")


def act_on_each(what: str, job_ids: Sequence[str], act: Callable[[str], object], *, as_json: bool) -> None:
    """Act on each job; one that is refused is named, doesn't stop the rest, and makes the exit code 1."""
    done, refused = [], {}
    for job_id in job_ids:
        try:
            act(job_id)
        except QueueUnavailable:
            raise
        except JobsError as error:
            refused[job_id] = str(error)
            click.echo(f"svcjobs: {error}", err=True)
        else:
            done.append(job_id)
    if done or as_json:
        tell("\n".join(f"{what} {job_id}" for job_id in done), {what: done, "refused": refused}, as_json=as_json)
    if refused:
        raise CommandFailed(f"{len(refused)} of {len(job_ids)} jobs were refused")
