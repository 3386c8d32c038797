"""Calls by name through the current app; an old path."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.local import Proxy

__all__ = ("send_task",)

send_task: Any = Proxy(lambda: current_app.send_task)
