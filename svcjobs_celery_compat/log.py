"""The log of the current app; an old path."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.local import Proxy

__all__ = ("get_default_logger", "redirect_stdouts_to_logger", "setup_logging_subsystem")

get_default_logger: Any = Proxy(lambda: current_app.log.get_default_logger)
redirect_stdouts_to_logger: Any = Proxy(lambda: current_app.log.redirect_stdouts_to_logger)
setup_logging_subsystem: Any = Proxy(lambda: current_app.log.setup_logging_subsystem)
