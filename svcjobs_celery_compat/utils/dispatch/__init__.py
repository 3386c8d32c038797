"""Signals: functions that are called when something happens."""

from __future__ import annotations

from svcjobs_celery_compat.utils.dispatch.signal import Signal

__all__ = ("Signal",)
