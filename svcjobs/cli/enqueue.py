"""``svcjobs enqueue``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from svcjobs.cli.durations import SECONDS, SECONDS_OR_NONE
from svcjobs.cli.output import json_option, print_json, until
from svcjobs.cli.queues import Place, place_options, queue_option
from svcjobs.job import LOWEST_PRIORITY, Unique


class Payload(click.ParamType[dict[str, Any], str]):
    """A JSON object: as text, in a file (``@file``), or on stdin (``-``)."""

    name = "payload"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            payload = json.loads(self._read(value))
        except (OSError, ValueError) as error:
            self.fail(f"{value}: {error}" if value.startswith("@") else f"{error}", param, ctx)
        if not isinstance(payload, dict):
            self.fail("it is valid JSON, but not an object: write {…}", param, ctx)
        return payload

    @staticmethod
    def _read(value: str) -> str:
        if value == "-":
            return sys.stdin.read()
        if value.startswith("@"):
            return Path(value[1:]).read_text(encoding="utf-8")
        return value


@click.command
@click.argument("job_name", metavar="NAME")
@click.argument("payload", type=Payload(), default="{}", metavar="[PAYLOAD]")
@queue_option
@click.option("--delay", type=SECONDS_OR_NONE, default=0.0, metavar="SECONDS", help="Not before this time.")
@click.option("--job-id", metavar="ID", help="An id of your own; a second job with it isn't stored.")
@click.option("--unique", metavar="KEY", help="No second job with this key until this one is done.")
@click.option("--priority", type=click.IntRange(0, LOWEST_PRIORITY), default=0, help="0 is first (default), 9 is last.")
@click.option("--max-attempts", type=click.IntRange(min=1), metavar="N", help="Attempts before the DLQ. Default: 5.")
@click.option("--backoff", type=SECONDS_OR_NONE, metavar="SECONDS", help="Base of the retry delay. Default: 60.")
@click.option("--soft-time-limit", type=SECONDS, metavar="SECONDS", help="As the worker's option, for this job.")
@click.option("--time-limit", type=SECONDS, metavar="SECONDS", help="As the worker's option, for this job.")
@json_option
@place_options
def enqueue(
    job_name: str,
    payload: dict[str, Any],
    *,
    name: str | None,
    delay: float,
    job_id: str | None,
    unique: str | None,
    priority: int,
    max_attempts: int | None,
    backoff: float | None,
    soft_time_limit: float | None,
    time_limit: float | None,
    as_json: bool,
    place: Place,
) -> None:
    """Store a job; prints its id.

    PAYLOAD is a JSON object, @FILE to read it from a file, or - to read it from stdin.
    """
    with place.open_one(name) as queue:
        job = queue.enqueue(
            job_name,
            payload,
            delay_seconds=delay,
            job_id=job_id,
            unique=None if unique is None else Unique(unique),
            priority=priority,
            max_attempts=max_attempts,
            backoff_seconds=backoff,
            soft_time_limit_seconds=soft_time_limit,
            time_limit_seconds=time_limit,
        )
    if as_json:
        print_json({"id": job.id, "queue": queue.name, "created": job.created, "available_at": job.available_at})
        return
    click.echo(job.id)
    if not job.created:
        click.echo("svcjobs: a live job has this id or unique key already; nothing was stored", err=True)
    elif delay:
        click.echo(f"svcjobs: due {until(job.available_at)}", err=True)
