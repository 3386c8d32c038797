"""Loaders: how an app gets its configuration and its modules of tasks."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.utils.imports import import_from_cwd, symbol_by_name

__all__ = ("get_loader_cls",)

LOADER_ALIASES = {
    "app": "svcjobs_celery_compat.loaders.app:AppLoader",
    "default": "svcjobs_celery_compat.loaders.default:Loader",
}


def get_loader_cls(loader: Any) -> Any:
    """Return the loader class of that name or alias; a class as it is."""
    return symbol_by_name(loader, LOADER_ALIASES, imp=import_from_cwd)
