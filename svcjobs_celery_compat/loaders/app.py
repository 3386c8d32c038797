"""The loader of apps that are made in code."""

from __future__ import annotations

from svcjobs_celery_compat.loaders.base import BaseLoader

__all__ = ("AppLoader",)


class AppLoader(BaseLoader):
    """Reads the configuration that the app names."""
