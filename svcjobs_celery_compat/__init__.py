"""Celery's API on the svcjobs engine.

``from svcjobs_celery_compat import Celery, shared_task, chain`` in place of ``from celery import …``; for code
that is not to be edited, see :mod:`svcjobs_celery_compat.alias`. Names are loaded when they are used.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

#: the version of Celery whose behaviour this is
__version__ = "5.7.0"
__author__ = "The svcjobs authors"
__contact__ = "https://docs.celeryq.dev/"
__homepage__ = "https://docs.celeryq.dev/"
__docformat__ = "restructuredtext"
__keywords__ = "task job queue distributed messaging redis"

SERIES = "svcjobs"
VERSION_BANNER = f"{__version__} ({SERIES})"

version_info_t = namedtuple(  # noqa: PYI024 - as Celery's
    "version_info_t", ("major", "minor", "micro", "releaselevel", "serial")
)
VERSION = version_info = version_info_t(5, 7, 0, "", "")

_HOMES = {
    "Celery": "app.base",
    "Task": "app.task",
    "bugreport": "app",
    "shared_task": "app",
    "current_app": "_state",
    "current_task": "_state",
    "Signature": "canvas",
    "chain": "canvas",
    "chord": "canvas",
    "chunks": "canvas",
    "group": "canvas",
    "maybe_signature": "canvas",
    "signature": "canvas",
    "subtask": "canvas",
    "xmap": "canvas",
    "xstarmap": "canvas",
    "uuid": "utils",
}

#: modules that code may use without importing them
_MODULES = frozenset({"execute", "log", "messaging", "registry"})

__all__ = (
    "SERIES",
    "VERSION",
    "VERSION_BANNER",
    "Celery",
    "Signature",
    "Task",
    "__author__",
    "__contact__",
    "__docformat__",
    "__homepage__",
    "__version__",
    "bugreport",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_patch_concurrency",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "version_info",
    "version_info_t",
    "xmap",
    "xstarmap",
)

if TYPE_CHECKING:
    from svcjobs_celery_compat._state import current_app, current_task
    from svcjobs_celery_compat.app import bugreport, shared_task
    from svcjobs_celery_compat.app.base import Celery
    from svcjobs_celery_compat.app.task import Task
    from svcjobs_celery_compat.canvas import (
        Signature,
        chain,
        chord,
        chunks,
        group,
        maybe_signature,
        signature,
        subtask,
        xmap,
        xstarmap,
    )
    from svcjobs_celery_compat.utils import uuid


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def _find_option_with_arg(
    argv: Sequence[str], short_opts: Sequence[str] | None = None, long_opts: Sequence[str] | None = None
) -> str:
    """Return the argument of the first of these options: ``-P gevent``, ``-Pgevent``, ``--pool=gevent``.

    :raises KeyError: none is there.
    """
    for i, arg in enumerate(argv):
        if not arg.startswith("-"):
            continue
        if long_opts and arg.startswith("--"):
            name, equals, value = arg.partition("=")
            if name in long_opts:
                return value if equals else argv[i + 1]
        for option in short_opts or ():
            if arg == option:
                return argv[i + 1]
            if arg.startswith(option) and not arg.startswith("--"):
                return arg[len(option) :]
    raise KeyError("|".join([*(short_opts or ()), *(long_opts or ())]))


def maybe_patch_concurrency(
    argv: Sequence[str] | None = None,
    short_opts: Sequence[str] | None = None,
    long_opts: Sequence[str] | None = None,
    patches: dict[str, Any] | None = None,
) -> None:
    """Let the command line's pool, eventlet or gevent, patch the standard library, before anything else is imported.

    :param argv: the command line (default: that of this process).
    :param short_opts: options that name the pool (default: ``-P``).
    :param long_opts: the same (default: ``--pool``).
    :param patches: functions by the pool's name.
    """
    argv = sys.argv if argv is None else argv
    try:
        pool = _find_option_with_arg(argv, short_opts or ["-P"], long_opts or ["--pool"])
    except (KeyError, IndexError):
        return
    known = {"eventlet": _patch_eventlet, "gevent": _patch_gevent} if patches is None else patches
    if pool in known:
        known[pool]()
        from svcjobs_celery_compat import concurrency

        if pool in concurrency.get_available_pool_names():
            concurrency.get_implementation(pool)


def _patch_eventlet() -> None:
    import_module("eventlet").monkey_patch()


def _patch_gevent() -> None:
    import_module("gevent.monkey").patch_all()
