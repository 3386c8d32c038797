"""How workers and options are written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from svcjobs_celery_compat.utils.nodenames import host_format, node_format, nodesplit


def celery_exe(*args: str) -> str:
    """The command ``celery`` with arguments, to be given to Python."""
    ours = sys.modules.get("celery") is not None
    return " ".join(("-m celery" if ours else "-m svcjobs_celery_compat", *args))


def build_nodename(name: str, prefix: str, suffix: str) -> tuple[str, str, str]:
    """The full name of a worker, the part before the host, and the host."""
    if "@" in name:
        nodename = host_format(name)
        shortname, hostname = nodesplit(nodename)
        return nodename, shortname or "", hostname
    shortname = f"{prefix}{name}"
    return host_format(f"{shortname}@{suffix}"), shortname, suffix


def build_expander(nodename: str, shortname: str, hostname: str) -> Callable[[str], str]:
    """A function that replaces ``%h``, ``%n``, ``%d`` and ``%i`` in a name."""
    return partial(node_format, name=nodename, N=shortname, d=hostname, h=nodename, i="%i", I="%I")


def format_opt(opt: str, value: Any) -> str:
    """An option as it stands on a command line."""
    if not value:
        return opt
    return f"{opt}={value}" if opt.startswith("--") else f"{opt} {value}"


def _kwargs_to_command_line(kwargs: dict[str, Any]) -> dict[str, str]:
    return {
        ("--{}" if len(key) > 1 else "-{}").format(key.replace("_", "-")): f"{value}" for key, value in kwargs.items()
    }
