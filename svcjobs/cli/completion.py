"""``svcjobs completion``, and what a shell offers when TAB is pressed: queues, dead jobs and names, from the server.

A completion never complains and never waits for long: without an answer in time there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class

from svcjobs.cli.output import first_line
from svcjobs.easy import open_client, open_heartbeats, open_queue
from svcjobs.errors import JobsError
from svcjobs.job import Job, Place
from svcjobs.settings import QueueSettings, redis_url

F = TypeVar("F", bound=Callable[..., Any])
ANSWER_WITHIN_SECONDS = 0.5
OFFERED_JOBS = 100

SOURCES = {
    "bash": 'eval "$(svcjobs completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(svcjobs completion zsh)" in ~/.zshrc, after compinit',
    "fish": "svcjobs completion fish > ~/.config/fish/completions/svcjobs.fish",
}


@click.command(epilog="\b\n" + "\n".join(f"{shell}: {line}" for shell, line in SOURCES.items()))
@click.argument("shell", type=click.Choice(list(SOURCES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options, queues and dead jobs."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click knows no {shell}")
    program = ctx.find_root()
    click.echo(kind(program.command, {}, "svcjobs", "_SVCJOBS_COMPLETE").source())


def complete_queues(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Queues that workers serve; after a comma another one."""
    before, comma, begun = incomplete.rpartition(",")
    chosen = before.split(",")
    return [f"{before}{comma}{name}" for name in _served(ctx) if name.startswith(begun) and name not in chosen]


def complete_dead_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the jobs that died last."""
    return [
        CompletionItem(job.id, help=f"{job.name}: {first_line(job.last_error, 60)}")
        for job in _jobs(ctx, ["dead"])
        if job.id.startswith(incomplete)
    ]


def complete_dead_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the jobs that died last."""
    return _names(ctx, ["dead"], incomplete)


def complete_living_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the jobs that are next in line, or run."""
    return _names(ctx, ["ready", "delayed", "leased"], incomplete)


def _names(ctx: click.Context, places: Sequence[Place], incomplete: str) -> list[str]:
    return sorted({job.name for job in _jobs(ctx, places) if job.name.startswith(incomplete)})


def _served(ctx: click.Context) -> list[str]:
    try:
        with (
            closing(open_client(_url(ctx))) as client,
            closing(open_heartbeats(client, timeout_seconds=ANSWER_WITHIN_SECONDS)) as heartbeats,
        ):
            prefixes = {queue for worker in heartbeats.workers() for queue in worker.queues}
        home = QueueSettings.from_environment().prefix
    except JobsError:
        return []
    return sorted({home} | {prefix.rpartition(":")[2].strip("{}") for prefix in prefixes})


def _jobs(ctx: click.Context, places: Sequence[Place]) -> Iterator[Job]:
    names = ctx.params.get("names") or (ctx.params.get("name"),)
    try:
        with closing(open_client(_url(ctx))) as client:
            for name in names:
                with closing(open_queue(client, name, timeout_seconds=ANSWER_WITHIN_SECONDS)) as queue:
                    for place in places:
                        yield from queue.peek(place, OFFERED_JOBS)
    except JobsError:
        return


def _url(ctx: click.Context) -> str:
    url: str | None = ctx.params.get("redis_url")
    return url or redis_url()
