"""How a command ends when it can't do what it was asked: one line on stderr and a code that scripts can use."""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn

import click

from svcjobs.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InvalidJob,
    JobsError,
    QueueFull,
    QueueRefused,
    QueueUnavailable,
)


class Exit(IntEnum):
    """Exit codes; 69 and 78 are those of sysexits.h, 130 is what shells give a program that Ctrl-C ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    CONFIGURATION = 78
    INTERRUPTED = 130


_CODES: tuple[tuple[type[JobsError], Exit], ...] = (
    (InvalidJob, Exit.USAGE),
    (QueueUnavailable, Exit.UNAVAILABLE),
    (QueueFull, Exit.UNAVAILABLE),
    (DatabaseUnavailable, Exit.UNAVAILABLE),
    (ConfigurationError, Exit.CONFIGURATION),
    (QueueRefused, Exit.CONFIGURATION),
)


class CommandFailed(Exception):
    """Ends the program with a message and a code.

    Args:
        message: what went wrong.
        code: the exit code.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


def end(ctx: click.Context, error: JobsError | CommandFailed) -> NoReturn:
    """Say what went wrong, in one line, and exit."""
    ctx.exit(tell(error))


def tell(error: JobsError | CommandFailed) -> Exit:
    """Say what went wrong, in one line; returns the exit code."""
    click.echo(f"svcjobs: {' '.join(str(error).split()) or type(error).__name__}", err=True)
    return code_of(error)


def code_of(error: JobsError | CommandFailed) -> Exit:
    """The exit code that an error makes."""
    if isinstance(error, CommandFailed):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
