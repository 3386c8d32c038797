"""``svcjobs status``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from svcjobs.cli.durations import Duration
from svcjobs.cli.output import console, duration, json_option, print_json, table, until
from svcjobs.cli.queues import Place, place_options, queues_option
from svcjobs.errors import QueueUnavailable
from svcjobs.queue import JobQueue
from svcjobs.stats import QueueStats


@click.command
@queues_option
@click.option(
    "--watch", is_flag=False, flag_value=2.0, type=Duration(min=0.1), metavar="[SECONDS]",
    help="Draw the table anew every 2 (or SECONDS) seconds, until Ctrl-C.",
)  # fmt: skip
@json_option
@place_options
def status(names: tuple[str, ...], *, watch: float | None, as_json: bool, place: Place) -> None:
    """Show how much lies where."""
    if watch and as_json:
        raise click.UsageError("--watch and --json don't go together: --json prints one document")
    with place.open(names) as queues:
        if watch:
            _watch(queues, watch)
        elif as_json:
            print_json({"queues": [queue.stats() for queue in queues]})
        else:
            console().print(_table([queue.stats() for queue in queues]))


def _watch(queues: Sequence[JobQueue], seconds: float) -> None:
    shown = console()
    if not shown.is_terminal:
        _draw_again_and_again(queues, seconds, shown.print)
        return
    with Live(console=shown, auto_refresh=False, screen=True) as live:
        _draw_again_and_again(queues, seconds, lambda picture: live.update(picture, refresh=True))


def _draw_again_and_again(queues: Sequence[JobQueue], seconds: float, draw: Callable[[RenderableType], None]) -> None:
    seen: list[QueueStats] = []
    try:
        while True:
            note = ""
            try:
                seen = [queue.stats() for queue in queues]
            except QueueUnavailable as error:
                # whoever watches wants to see the server come back
                note = f"{error}; these numbers are old" if seen else str(error)
            draw(_picture(seen, note, seconds))
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _picture(stats: Sequence[QueueStats], note: str, seconds: float) -> RenderableType:
    head = Text(f"svcjobs status, {time.strftime('%H:%M:%S')}, every {seconds:g} s, Ctrl-C ends", style="dim")
    return Group(head, _table(stats), Text(note, style="red"))


def _table(stats: Sequence[QueueStats]) -> RenderableType:
    numbers = ("Ready", "Oldest", "In flight", "Delayed", "Next due", "Dead")
    made = table("Queue", *numbers, "State", numbers=numbers)
    for one in stats:
        made.add_row(
            one.queue, str(one.ready), duration(one.oldest_ready_age_seconds), str(one.in_flight), str(one.delayed),
            until(one.next_delayed_at), Text(str(one.dead), style="red" if one.dead else ""),
            Text("paused", style="yellow") if one.paused else "running",
        )  # fmt: skip
    return made
