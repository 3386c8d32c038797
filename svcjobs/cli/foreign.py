"""Commands that an application of another framework may have its own of: ``svcjobs beat -A proj`` for a Celery app."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

import click

from svcjobs.cli.applications import find_target
from svcjobs.cli.exits import Exit
from svcjobs.errors import ConfigurationError
from svcjobs.process import fork, how_it_ended
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduled_task import ScheduledTask
from svcjobs.settings import put_in_environment, seen_in_environment

_FLAGS = ("-A", "--app")
_COMMANDS = "__svcjobs_commands__"
_SCHEDULE = "__svcjobs_schedule__"
_FOUND = "svcjobs.foreign"
_ALIASES = "svcjobs.aliases"
_KNOWN_AS_OURS = "SVCJOBS_OWN_APPLICATION"
_OURS, _FOREIGN = "ours", "foreign"
MOST_BYTES = 4096
"""Of what the process that imports an application says; a pipe holds more."""


class ForeignCommand(click.Command):
    """A command that hands its arguments, unread, to the application that ``-A`` names, if that has a command for it.

    The application's class says so by ``__svcjobs_commands__``: functions by command name, each of which takes what
    ``-A`` names and the other arguments. Their options are those of that framework, then.

    With ``--as-celery`` the application finds another package by the import name ``celery``: functions in the entry
    point group ``svcjobs.aliases`` see to that, before anything of the application is imported.

    """

    forks = False
    """Whether its process forks others: an application of ours isn't imported there, as a fork ends its threads."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *(_alias_option(entry) for entry in entry_points(group=_ALIASES))]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = _aliased(args)
        foreign = _foreign(_target(args), str(self.name), elsewhere=self.forks)
        if foreign is None:
            return super().parse_args(ctx, args)
        ctx.meta[_FOUND] = foreign, _without_target(args)
        return []

    def invoke(self, ctx: click.Context) -> Any:
        if _FOUND not in ctx.meta:
            return super().invoke(ctx)
        run, args = ctx.meta[_FOUND]
        return run(args)


def foreign_schedule(target: str | None, home: RedisJobQueue) -> tuple[list[ScheduledTask], list[str]] | None:
    """The schedule of an application that keeps one of its own, and what can't be shown of it; None for any other.

    The application's class says so by a method ``__svcjobs_schedule__``, which takes the default queue.

    Raises:
        ConfigurationError: the target can't be imported.
    """
    if target is None:
        return None
    found = find_target(target)
    read = getattr(type(found), _SCHEDULE, None)
    return None if read is None else cast("tuple[list[ScheduledTask], list[str]]", read(found, home))


def _alias_option(entry: EntryPoint) -> click.Option:
    help_text = f"Serve the import name {entry.name} from svcjobs, whoever imports it."
    return click.Option([f"--as-{entry.name}"], is_flag=True, expose_value=False, help=help_text)


def _aliased(args: list[str]) -> list[str]:
    """Serve the import names that are asked for; return the other arguments."""
    aliases = {f"--as-{entry.name}": entry for entry in entry_points(group=_ALIASES)}
    for wish in aliases.keys() & set(args):
        aliases[wish].load()()
    return [arg for arg in args if arg not in aliases]


def _foreign(target: str | None, command: str, *, elsewhere: bool) -> Callable[[Sequence[str]], object] | None:
    if target is None or (elsewhere and not _is_foreign(target, command)):
        return None
    run = _commands(target).get(command)
    return None if run is None else lambda args: run(target, args)


def _commands(target: str) -> dict[str, Callable[[str, Sequence[str]], object]]:
    return getattr(type(find_target(target)), _COMMANDS, {})


def _is_foreign(target: str, command: str) -> bool:
    """Whether the application has such a command, found out by a process of its own.

    A program that this process executes anew knows it: an application that can't be imported any more is then told of
    by the children that were to replace those of a worker, and replaces nothing.

    Raises:
        ConfigurationError: the target can't be imported.
    """
    if seen_in_environment(_KNOWN_AS_OURS) == str(os.getpid()):
        return False
    told = _asked(target, command)
    if told not in (_OURS, _FOREIGN):
        raise ConfigurationError(told)
    if told == _OURS:
        put_in_environment(_KNOWN_AS_OURS, str(os.getpid()))
    return told == _FOREIGN


def _asked(target: str, command: str) -> str:
    """What a process that imports the application says."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        try:
            child = fork(functools.partial(_tell, target, command, writing), dies_with_parent=True)
        except OSError as error:
            return f"no process can be started to import {target!r}: {error}"
        _, status = os.waitpid(child, 0)
        try:
            return os.read(reading, MOST_BYTES).decode(errors="replace")
        except BlockingIOError:  # it said nothing
            how = how_it_ended(os.waitstatus_to_exitcode(status))
            return f"{target!r} can't be used: the process that imported it {how}"
    finally:
        os.close(reading)
        os.close(writing)


def _tell(target: str, command: str, writing: int) -> int:
    try:
        told = _FOREIGN if command in _commands(target) else _OURS
    except ConfigurationError as error:
        told = str(error)
    os.write(writing, told.encode()[:MOST_BYTES])
    return Exit.OK


def _target(args: Sequence[str]) -> str | None:
    """What ``-A`` names; the last one counts."""
    target = None
    for at, arg in enumerate(args):
        if arg in _FLAGS:
            target = args[at + 1] if at + 1 < len(args) else None
        elif arg.startswith("--app="):
            target = arg.removeprefix("--app=")
        elif arg.startswith("-A"):
            target = arg.removeprefix("-A")
    return target


def _without_target(args: Sequence[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg in _FLAGS:
            next(rest, None)
        elif not arg.startswith(("-A", "--app=")):
            kept.append(arg)
    return kept
