"""The settings of an app."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any

from svcjobs_celery_compat.app.defaults import find
from svcjobs_celery_compat.app.utils.hiding import filter_hidden_settings
from svcjobs_celery_compat.exceptions import CDeprecationWarning
from svcjobs_celery_compat.utils.collections import ConfigurationView
from svcjobs_celery_compat.utils.text import pretty

__all__ = ("Settings",)


class Settings(ConfigurationView):
    """Configuration of an app: changes, then what it was configured from, then the defaults.

    :param deprecated_settings: former names that are in use. (keyword)
    """

    deprecated_settings: Any

    def __init__(self, *args: Any, deprecated_settings: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__["deprecated_settings"] = deprecated_settings

    def copy(self) -> Settings:
        """Return a copy of the changes, before the same defaults."""
        self.finalize()
        copied = super().copy()
        copied.__dict__["deprecated_settings"] = self.deprecated_settings
        return copied

    __copy__ = copy

    def swap_with(self, other: ConfigurationView) -> None:
        """Become `other`."""
        super().swap_with(other)
        self.__dict__["deprecated_settings"] = other.__dict__.get("deprecated_settings")

    @property
    def broker_read_url(self) -> Any:
        """Where workers take messages from: CELERY_BROKER_READ_URL of the environment comes first."""
        return os.environ.get("CELERY_BROKER_READ_URL") or self.get("broker_read_url") or self.broker_url

    @property
    def broker_write_url(self) -> Any:
        """Where messages are sent to: CELERY_BROKER_WRITE_URL of the environment comes first."""
        return os.environ.get("CELERY_BROKER_WRITE_URL") or self.get("broker_write_url") or self.broker_url

    @property
    def broker_url(self) -> Any:
        """The broker: CELERY_BROKER_URL of the environment comes first."""
        return os.environ.get("CELERY_BROKER_URL") or self.first("broker_url", "broker_host")

    @property
    def result_backend(self) -> Any:
        """The result store: CELERY_RESULT_BACKEND of the environment comes first."""
        return os.environ.get("CELERY_RESULT_BACKEND") or self.first("result_backend", "CELERY_RESULT_BACKEND")

    @property
    def task_default_exchange(self) -> Any:
        """The exchange of tasks that aren't routed; if it isn't set, it has the name of the queue."""
        return self.first("task_default_exchange", "task_default_queue")

    @property
    def task_default_routing_key(self) -> Any:
        """The routing key of tasks that aren't routed; if it isn't set, it is the name of the queue."""
        return self.first("task_default_routing_key", "task_default_queue")

    @property
    def timezone(self) -> Any:
        """The time zone of schedules; Django's ``TIME_ZONE`` counts, too."""
        return self.first("timezone", "TIME_ZONE")

    def without_defaults(self) -> Settings:
        """Return the settings that are configured."""
        self.finalize()
        # the last layer are the defaults
        return Settings({}, self.maps[:-1], keys=self._keys, prefix=self.prefix)

    def value_set_for(self, key: str) -> bool:
        """Return whether a setting is configured."""
        return key in self.without_defaults()

    def find_option(self, name: str, namespace: str = "") -> Any:
        """Find a setting by its full name, or by its name in some namespace; see :func:`~.app.defaults.find`."""
        return find(name, namespace)

    def find_value_for_key(self, name: str, namespace: str = "celery") -> Any:
        """Return the value of the setting that :meth:`find_option` finds."""
        found = self.find_option(name, namespace=namespace)
        return self.get_by_parts(*(part for part in found[:-1] if part))

    def get_by_parts(self, *parts: str) -> Any:
        """Return the value of the setting whose name has these parts: ``get_by_parts("task", "always_eager")``."""
        return self["_".join(part for part in parts if part)]

    def finalize(self) -> None:
        """Read the configuration, if that wasn't done."""
        with contextlib.suppress(KeyError):
            self["__forces_evaluation__"]

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Return the settings as a dict.

        :param with_defaults: those that aren't configured, too.
        :param censored: passwords and keys are replaced.
        """
        filtered = filter_hidden_settings if censored else (lambda settings: settings)
        settings = self if with_defaults else self.without_defaults()
        told = {"deprecated_settings": self.deprecated_settings or None, **settings}  # Celery tells it as a setting
        return filtered({key: value for key, value in told.items() if not str(key).startswith("_")})

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """Return the settings as text, one a line."""
        table = self.table(with_defaults, censored)
        return "\n".join(f"{key}: {pretty(value, width=50)}" for key, value in table.items())

    def maybe_warn_deprecated_settings(self) -> bool:
        """Warn if former names are in use, and return whether they are."""
        self.finalize()
        if not self.deprecated_settings:
            return False
        names = ", ".join(sorted(self.deprecated_settings))
        warnings.warn(
            CDeprecationWarning(
                f"These settings have names from before Celery 4: {names}. They work, and newer names are in Celery's "
                "documentation; `celery upgrade settings FILE` rewrites a file."
            ),
            stacklevel=2,
        )
        return True
