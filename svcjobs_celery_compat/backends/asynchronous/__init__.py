"""Waiting for results that are told: by a message of the broker, or of Redis.

:data:`drainers` has, per environment (``default``, ``eventlet``, ``gevent``), what fetches them;
:func:`register_drainer` adds one.
"""

import logging
import time

from kombu.utils.compat import detect_environment

from svcjobs_celery_compat.backends.asynchronous.consumer import E_RETRY_LIMIT_EXCEEDED, BaseResultConsumer
from svcjobs_celery_compat.backends.asynchronous.drainer import Drainer, drainers, register_drainer
from svcjobs_celery_compat.backends.asynchronous.greenlets import (
    E_CELERY_RESTART_REQUIRED,
    eventletDrainer,
    geventDrainer,
    greenletDrainer,
)
from svcjobs_celery_compat.backends.asynchronous.mixin import AsyncBackendMixin

__all__ = (
    "E_CELERY_RESTART_REQUIRED",
    "E_RETRY_LIMIT_EXCEEDED",
    "AsyncBackendMixin",
    "BaseResultConsumer",
    "Drainer",
    "detect_environment",
    "drainers",
    "eventletDrainer",
    "geventDrainer",
    "greenletDrainer",
    "logging",
    "register_drainer",
    "time",
)
