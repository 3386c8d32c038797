"""``svcjobs <command> -A proj`` with a Celery app: the command of the same name, with Celery's options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial


def _run(name: str, target: str, arguments: Sequence[str]) -> None:
    from svcjobs_celery_compat.bin.celery import celery

    celery.main(["-A", target, name, *arguments], prog_name="svcjobs")


COMMANDS: dict[str, Callable[[str, Sequence[str]], None]] = {name: partial(_run, name) for name in ("beat", "worker")}
"""By the name of the native command; see :class:`svcjobs.cli.foreign.ForeignCommand`."""
