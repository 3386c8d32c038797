"""The app."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class OutboxConfig(AppConfig):
    """Adds the table ``svcjobs_outbox``."""

    name = "svcjobs_celery_compat.contrib.django.outbox"
    label = "svcjobs_outbox"
    verbose_name = "Outbox"

    def ready(self) -> None:
        checks.register(needs_time_zones)


def needs_time_zones(app_configs: Any, **kwargs: Any) -> list[checks.Error]:
    """Without USE_TZ the table's times would be local ones, which come twice when clocks are set back."""
    if settings.USE_TZ:
        return []
    return [checks.Error("the outbox keeps its times in UTC", hint="Set USE_TZ = True.", id="svcjobs_outbox.E001")]
