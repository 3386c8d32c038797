"""What an app is made of: settings, pickles, reports; and how it is found by name."""

from __future__ import annotations

from svcjobs_celery_compat.app.utils.detection import _new_key_to_old, _old_key_to_new, detect_settings
from svcjobs_celery_compat.app.utils.finding import find_app
from svcjobs_celery_compat.app.utils.hiding import filter_hidden_settings, sanitize_url
from svcjobs_celery_compat.app.utils.pickling import AppPickler, _unpickle_app, _unpickle_app_v2
from svcjobs_celery_compat.app.utils.reporting import appstr, bugreport
from svcjobs_celery_compat.app.utils.settings import Settings

__all__ = (
    "AppPickler",
    "Settings",
    "_new_key_to_old",
    "_old_key_to_new",
    "_unpickle_app",
    "_unpickle_app_v2",
    "appstr",
    "bugreport",
    "detect_settings",
    "filter_hidden_settings",
    "find_app",
    "sanitize_url",
)
