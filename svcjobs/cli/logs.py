"""Log lines of the commands that run for long."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

from svcjobs.job_log import JobFilter, JournalHandler, JsonFormatter, PlainFormatter

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = ("debug", "info", "warning", "error", "critical")


def log_options(command: F) -> F:
    """Adds ``--loglevel`` and ``--log-format``."""
    level = click.option(
        "-l", "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), default="info", show_default=True,
        help="Log this and what is worse, on stderr.",
    )  # fmt: skip
    form = click.option(
        "--log-format", type=click.Choice(["plain", "json"]), default="plain", show_default=True,
        help="Lines for people, or one JSON object a line.",
    )  # fmt: skip
    return level(form(command))


def start_logging(level: str, name: str, log_format: str = "plain", *, kept_lines: int = 0) -> None:
    """Log to stderr from now on; each line carries the process's ``name``, and the job that it belongs to.

    With ``kept_lines`` the lines of jobs go to their journal too.

    Called before the application is imported, so that what that configures comes on top.
    """
    handler = logging.StreamHandler()
    handler.addFilter(JobFilter(name))
    handler.setFormatter(JsonFormatter() if log_format == "json" else PlainFormatter())
    handlers: list[logging.Handler] = [handler, JournalHandler()] if kept_lines else [handler]
    logging.basicConfig(level=level.upper(), handlers=handlers)


def node_name(wish: str | None, kind: str) -> str:
    """The process's name: the wish with ``%h`` replaced by the host's name, else ``kind@host``."""
    host = socket.gethostname()
    return (wish or f"{kind}@%h").replace("%h", host)
