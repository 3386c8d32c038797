"""``svcjobs job``: one job, wherever it lies, and what it says of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing

import click

from svcjobs.cli.output import first_line, json_option, print_json, stamp
from svcjobs.cli.queues import Place, place_options, queue_option
from svcjobs.clock import utc
from svcjobs.easy import open_client
from svcjobs.errors import JobNotFound
from svcjobs.job import Job
from svcjobs.journal_store import JournalPage, JournalStore


@click.command("job")
@click.argument("job_id", metavar="ID")
@queue_option
@json_option
@place_options
def show_job(job_id: str, *, name: str | None, as_json: bool, place: Place) -> None:
    """Show where a job lies, how far it is, and its last log lines.

    A job says how far it is with `job.progress(…)`; lines are kept by `svcjobs worker --keep-log-lines N`. Both can be
    seen for ten minutes after the job is done.
    """
    with (
        place.open_one(name) as queue,
        closing(open_client(place.url)) as client,
        closing(JournalStore(client)) as kept,
    ):
        job, lies, (page,) = queue.get(job_id), queue.place(job_id), kept.read([(queue.name, job_id)])
        if job is None and page is None:
            raise JobNotFound(f"no job {job_id} in {queue.name}")
        document = _document(queue.name, job_id, job, lies or "done", page)
    if as_json:
        print_json(document)
        return
    for field, value in _fields(document, job, page):
        click.echo(f"{field:<9} {value}")
    if page is not None and page.lines:
        click.echo("\nlog:")
        click.echo("\n".join(f"  {line}" for line in page.lines))


def _fields(document: dict[str, object], job: Job | None, page: JournalPage | None) -> Iterator[tuple[str, object]]:
    yield from ((name, document[name]) for name in ("id", "queue", "state"))
    if job is not None:
        yield "name", job.name
        yield "attempts", f"{job.attempts} of {job.max_attempts}"
        yield "due", stamp(job.available_at)
        if job.last_error:
            yield "error", first_line(job.last_error, 1000)
    if page is not None and page.progress is not None:
        yield "progress", f"{page.progress}, in attempt {page.attempt} at {stamp(utc(page.progress.at))}"


def _document(queue: str, job_id: str, job: Job | None, state: str, page: JournalPage | None) -> dict[str, object]:
    document: dict[str, object] = {"id": job_id, "queue": queue, "state": state}
    if job is not None:
        document |= {
            "name": job.name, "attempts": job.attempts, "max_attempts": job.max_attempts,
            "available_at": job.available_at, "last_error": job.last_error,
        }  # fmt: skip
    if page is not None:
        progress = page.progress and dataclasses.asdict(page.progress) | {"at": utc(page.progress.at)}
        document |= {"attempt": page.attempt, "progress": progress, "log": list(page.lines)}
    return document
