"""``svcjobs workers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeAlias

import click
from rich.console import RenderableType
from rich.text import Text

from svcjobs.cli.output import console, duration, json_option, print_json, table
from svcjobs.cli.queues import Place, place_options
from svcjobs.easy import open_client, open_heartbeats
from svcjobs.heartbeats import LiveWorker, RunningNow
from svcjobs.journal_store import JournalStore
from svcjobs.progress import Progress

SHOWN_JOBS = 20
Reports: TypeAlias = Mapping[tuple[str, str], Progress]
"""By queue and job id."""


@click.command
@json_option
@place_options
def workers(*, as_json: bool, place: Place) -> None:
    """Show the live workers, what each is running since when, and how far that says it is."""
    place.check_shared()
    with closing(open_client(place.url)) as client, closing(open_heartbeats(client)) as heartbeats:
        found = sorted(heartbeats.workers(), key=lambda worker: worker.name)
        with closing(JournalStore(client)) as kept:
            progress = _progress(kept, [job for worker in found for job in worker.running])
    if as_json:
        print_json({"workers": [_plain(worker, progress) for worker in found]})
    elif found:
        console().print(_table(found, progress))
    else:
        click.echo("no worker has given a sign of life in the last five minutes")


def _progress(kept: JournalStore, jobs: Sequence[RunningNow]) -> Reports:
    """What each job reported last, in the attempt that runs."""
    pages = kept.read([(job.queue, job.job_id) for job in jobs])
    return {
        (job.queue, job.job_id): page.progress
        for job, page in zip(jobs, pages, strict=True)
        if page is not None and page.progress is not None and page.attempt == job.attempt
    }


def _plain(worker: LiveWorker, progress: Reports) -> dict[str, object]:
    plain = {name: getattr(worker, name) for name in LiveWorker.__dataclass_fields__}
    running = [asdict(job) | {"progress": progress.get((job.queue, job.job_id))} for job in worker.running]
    return plain | {"running": running, "stale": worker.is_stale}


def _table(found: Sequence[LiveWorker], progress: Reports) -> RenderableType:
    made = table("Worker", "Host", "Pid", "Queues", "Pool", "Running", "Last beat", numbers=("Pid",))
    for worker in found:
        made.add_row(
            worker.name, worker.host, str(worker.pid), ", ".join(worker.queues) or "-",
            f"{worker.pool} x {worker.concurrency}", Text(_running(worker.running, progress)), _beat(worker),
        )  # fmt: skip
    return made


def _running(jobs: Sequence[RunningNow], progress: Reports) -> str:
    now = datetime.now(UTC)
    lines = []
    for job in jobs[:SHOWN_JOBS]:
        far = progress.get((job.queue, job.job_id))
        since = duration((now - job.started_at).total_seconds())
        lines.append(f"{job.name} {job.job_id}, {since}" + (f", {far}" if far else ""))
    if len(jobs) > SHOWN_JOBS:
        lines.append(f"and {len(jobs) - SHOWN_JOBS} more")
    return "\n".join(lines) or "-"


def _beat(worker: LiveWorker) -> Text:
    text = f"{duration(worker.age_seconds)} ago"
    if worker.is_stale:
        return Text(f"{text}, stale", style="red")
    return Text(f"{text}, stopping" if worker.stopping else text)
