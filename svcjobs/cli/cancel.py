"""``svcjobs cancel``: ends jobs for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import click

from svcjobs.cli.bulk import Verb, dry_run_option, run_bulk, yes_option
from svcjobs.cli.filters import Filter, filter_options
from svcjobs.cli.output import json_option, tell
from svcjobs.cli.queues import Place, place_options, queues_option
from svcjobs.cli.singles import check_choice
from svcjobs.cli.sweeps import sweep_delayed, sweep_living
from svcjobs.queue import JobQueue
from svcjobs.settlement import Outcome


@click.command
@click.argument("job_id", metavar="[ID]", required=False)
@queues_option
@click.option("--all", "whole", is_flag=True, help="All jobs that wait or run.")
@filter_options(dead=False)
@dry_run_option
@yes_option
@json_option
@place_options
def cancel(
    job_id: str | None, names: tuple[str, ...], *, whole: bool, chosen: Filter, dry_run: bool, yes: bool,
    as_json: bool, place: Place,
) -> None:  # fmt: skip
    """Cancel jobs: they go to the dead letter queue with the reason `cancelled`.

    A job that waits is dead at once. One that runs is once its worker has learned of it, within a third of its
    lease; when its handler ends well before that, the job is done.

    \b
    svcjobs cancel 17
    svcjobs cancel --name 'resize_*' --older-than 1h --dry-run
    """
    check_choice((job_id,) if job_id else (), names, chosen, whole=whole, dry_run=dry_run)
    with place.open(names) as queues:
        if job_id:
            _cancel_one(queues[0], job_id, as_json=as_json)
        else:
            run_bulk(queues, _CANCEL, chosen, dry_run=dry_run, yes=yes, as_json=as_json)


def _cancel_one(queue: JobQueue, job_id: str, *, as_json: bool) -> None:
    waits = queue.cancel(job_id) is Outcome.CANCELLED
    sentence = f"cancelled {job_id}" if waits else f"{job_id} is with a worker, which will cancel it"
    tell(sentence, {"queue": queue.name, "id": job_id, "cancelled": waits, "running": not waits}, as_json=as_json)


def _cancel_many(queue: JobQueue, job_ids: Sequence[str]) -> Mapping[str, int]:
    outcomes = Counter(queue.cancel_many(job_ids))
    # one that is done, or dead, since the page was read needs no cancelling any more
    return {"cancelled": outcomes[Outcome.CANCELLED], "running": outcomes[Outcome.CANCELLING]}


_CANCEL = Verb(
    "cancel", "cancelled", "jobs that wait or run", lambda stats: stats.ready + stats.delayed + stats.in_flight,
    _cancel_many, sweep_living, again=sweep_delayed,
)  # fmt: skip
