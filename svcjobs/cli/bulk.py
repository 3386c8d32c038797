"""One verb on all jobs that a filter takes: look first, ask, then act page by page, with a bar, until interrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from svcjobs.cli.exits import CommandFailed, Exit, code_of
from svcjobs.cli.filters import Filter
from svcjobs.cli.output import console, print_json, table
from svcjobs.cli.sweeps import Act
from svcjobs.errors import JobsError
from svcjobs.job import Job
from svcjobs.queue import JobQueue
from svcjobs.stats import QueueStats

MOST_GROUPS = 200
"""Kinds of jobs that are told apart: names come from producers."""
_OTHERS = ("(other)", "")

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Count what is meant, by name and reason, and change nothing."
)
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")


@dataclass(frozen=True, slots=True)
class Verb:
    """What is done to each job.

    Args:
        word: ``requeue``.
        done: ``requeued``: the count of those that it was done to, which leave their place.
        what: ``dead jobs``: what it can be done to.
        size: how many of those a queue has.
        act: does it to a batch; counts by what became of them. Each batch is safe by itself.
        sweep: meets each job that it can be done to.
        again: meets those that other sweeps may have missed.
    """

    word: str
    done: str
    what: str
    size: Callable[[QueueStats], int]
    act: Callable[[JobQueue, Sequence[str]], Mapping[str, int]]
    sweep: Callable[[JobQueue, Act], None]
    again: Callable[[JobQueue, Act], None] | None = None


class Bulk:
    """A verb on those jobs of one queue that a filter takes.

    Attributes:
        total: how many jobs it goes through.
        groups: of the last look, how many jobs of each name and reason are meant.
        counts: what became of the jobs so far.
    """

    def __init__(self, queue: JobQueue, verb: Verb, chosen: Filter) -> None:
        stats = queue.stats()
        self.queue = queue
        self.total = verb.size(stats)
        self.groups: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter({verb.done: 0})
        self._verb = verb
        self._chosen = chosen
        self._now = stats.at

    def look(self, advance: Callable[[int], None]) -> None:
        """Count what is meant."""
        self.groups.clear()

        def act(page: list[Job]) -> int:
            for job in self._meant(page):
                group = (job.name, job.reason or "")
                known = group in self.groups or len(self.groups) < MOST_GROUPS
                self.groups[group if known else _OTHERS] += 1
            advance(len(page))
            return 0

        self._verb.sweep(self.queue, act)

    def run(self, advance: Callable[[int], None]) -> None:
        """Do it."""

        def act(page: list[Job]) -> int:
            ids = [job.id for job in self._meant(page)]
            outcome = self._verb.act(self.queue, ids) if ids else {}
            self.counts.update(outcome)
            advance(len(page))
            return outcome.get(self._verb.done, 0)

        self._verb.sweep(self.queue, act)
        if self._verb.again is not None:
            self._verb.again(self.queue, act)

    def _meant(self, page: list[Job]) -> Iterator[Job]:
        return (job for job in page if self._chosen.matches(job, self._now))


def run_bulk(
    queues: Sequence[JobQueue], verb: Verb, chosen: Filter, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Do it to all jobs that are meant, in each queue, and print what was done.

    Raises:
        click.Abort: the question was answered with no.
        CommandFailed: some were refused, or it was interrupted, or a server went away, with how far it came.
    """
    bulks = [Bulk(queue, verb, chosen) for queue in queues]
    if dry_run or not (yes or chosen.is_empty):
        with _bar("Looking", bulks) as advance:
            for bulk in bulks:
                bulk.look(advance)
    if dry_run:
        _tell_groups(bulks, verb, as_json=as_json)
        return
    if not yes:
        click.confirm("\n".join(_question(bulk, verb, chosen) for bulk in bulks), abort=True, err=True)
    try:
        with _bar(verb.word.capitalize(), bulks) as advance:
            for bulk in bulks:
                bulk.run(advance)
    except KeyboardInterrupt:
        raise CommandFailed(f"interrupted; {_so_far(bulks, verb)}") from None
    except JobsError as error:
        raise CommandFailed(f"{error}; {_so_far(bulks, verb)}", code_of(error)) from error
    _tell_counts(bulks, verb, as_json=as_json)
    if refused := sum(bulk.counts["refused"] for bulk in bulks):
        raise CommandFailed(
            f"{refused} jobs were refused: another live job has their unique key, or somebody else took them first",
            Exit.FAILED,
        )


@contextmanager
def _bar(word: str, bulks: Sequence[Bulk]) -> Iterator[Callable[[int], None]]:
    shown = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total, seen = sum(bulk.total for bulk in bulks), 0
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as progress:
        task = progress.add_task(word, total=total)

        def advance(count: int) -> None:
            nonlocal seen
            seen = min(total, seen + count)  # a job that moves on is met twice
            progress.update(task, completed=seen)

        yield advance


def _question(bulk: Bulk, verb: Verb, chosen: Filter) -> str:
    of = "all" if chosen.is_empty else f"{bulk.groups.total()} of"
    return f"{verb.word.capitalize()} {of} {bulk.total} {verb.what} of {bulk.queue.name}?"


def _so_far(bulks: Sequence[Bulk], verb: Verb) -> str:
    done = sum(bulk.counts[verb.done] for bulk in bulks)
    return f"{verb.done} {done} jobs before that. The others are as they were: the same command goes on from here"


def _tell_groups(bulks: Sequence[Bulk], verb: Verb, *, as_json: bool) -> None:
    if as_json:
        _print_one_or_all(
            {
                "queue": bulk.queue.name, "dry_run": True, "total": bulk.total, "meant": bulk.groups.total(),
                "groups": [{"name": name, "reason": reason or None, "jobs": jobs}
                           for (name, reason), jobs in bulk.groups.most_common()],
            }
            for bulk in bulks
        )  # fmt: skip
        return
    made = table("Queue", "Name", "Reason", "Jobs", numbers=("Jobs",))
    for bulk in bulks:
        for (name, reason), jobs in bulk.groups.most_common():
            made.add_row(*map(Text, (bulk.queue.name, name, reason or "-", str(jobs))))
    if made.rows:
        console().print(made)
    for bulk in bulks:
        click.echo(f"would {verb.word} {bulk.groups.total()} of {bulk.total} {verb.what} of {bulk.queue.name}")


def _tell_counts(bulks: Sequence[Bulk], verb: Verb, *, as_json: bool) -> None:
    if as_json:
        _print_one_or_all({"queue": bulk.queue.name} | bulk.counts for bulk in bulks)
        return
    for bulk in bulks:
        others = [f", {count} {word}" for word, count in bulk.counts.items() if count and word != verb.done]
        said = f"{verb.done} {bulk.counts[verb.done]} jobs{''.join(others)}"
        click.echo(said if len(bulks) == 1 else f"{bulk.queue.name}: {said}")


def _print_one_or_all(documents: Iterator[Mapping[str, Any]]) -> None:
    every = list(documents)
    print_json(every[0] if len(every) == 1 else {"queues": every})
