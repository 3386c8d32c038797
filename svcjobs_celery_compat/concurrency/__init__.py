"""The pools by the names that ``-P`` and ``worker_pool`` take."""

from __future__ import annotations

import os
from typing import Any

from kombu.utils.imports import symbol_by_name

from svcjobs_celery_compat.names import PACKAGE, own_name

__all__ = ("get_available_pool_names", "get_implementation")

ALIASES = {
    "prefork": f"{PACKAGE}.concurrency.prefork:TaskPool",
    "processes": f"{PACKAGE}.concurrency.prefork:TaskPool",
    "solo": f"{PACKAGE}.concurrency.solo:TaskPool",
    "threads": f"{PACKAGE}.concurrency.thread:TaskPool",
    "async": f"{PACKAGE}.concurrency.async_pool:TaskPool",
    "eventlet": f"{PACKAGE}.concurrency.eventlet:TaskPool",
    "gevent": f"{PACKAGE}.concurrency.gevent:TaskPool",
}
if custom := os.environ.get("CELERY_CUSTOM_WORKER_POOL"):
    ALIASES["custom"] = custom


def get_implementation(cls: Any) -> Any:
    """The class of a pool, by its name here or as ``module:Class``."""
    name = ALIASES.get(cls, cls) if isinstance(cls, str) else cls
    return symbol_by_name(own_name(name)) if isinstance(name, str) else name


def get_available_pool_names() -> tuple[str, ...]:
    """The names that :func:`get_implementation` knows."""
    return tuple(ALIASES)
