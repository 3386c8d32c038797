"""The tasks of the current app; an old path, which OpenTelemetry and Datadog import."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.local import Proxy

__all__ = ("tasks",)

tasks: Any = Proxy(lambda: current_app.tasks)
