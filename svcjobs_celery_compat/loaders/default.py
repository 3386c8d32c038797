"""The loader of the default app: it reads the module ``celeryconfig``, or that of CELERY_CONFIG_MODULE."""

from __future__ import annotations

import os
import warnings
from typing import Any

from svcjobs_celery_compat.exceptions import NotConfigured
from svcjobs_celery_compat.loaders.base import BaseLoader
from svcjobs_celery_compat.utils.collections import DictAttribute
from svcjobs_celery_compat.utils.serialization import strtobool

__all__ = ("DEFAULT_CONFIG_MODULE", "Loader")

DEFAULT_CONFIG_MODULE = "celeryconfig"

#: Warn if there is no such module: C_WNOCONF in the environment.
C_WNOCONF = strtobool(os.environ.get("C_WNOCONF", "off") or "off")


class Loader(BaseLoader):
    """Reads a module of settings."""

    def setup_settings(self, settingsdict: Any) -> Any:
        """Return the settings as the app takes them."""
        return DictAttribute(settingsdict)

    def read_configuration(  # type: ignore[override]  # as Celery has it
        self, fail_silently: bool = True
    ) -> Any:
        """Import the module, and return its settings.

        :param fail_silently: without a module, return no settings.
        """
        name = os.environ.get("CELERY_CONFIG_MODULE") or DEFAULT_CONFIG_MODULE
        try:
            module = self._import_config_module(name)
        except ImportError:
            if not fail_silently:
                raise
            if C_WNOCONF and not self.configured:
                warnings.warn(
                    NotConfigured(f"No module {name!r} was found. Make sure that it exists and is on the Python path."),
                    stacklevel=2,
                )
            return self.setup_settings({})
        self.configured = True
        return self.setup_settings(module)
