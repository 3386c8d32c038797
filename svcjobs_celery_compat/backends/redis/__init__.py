"""Results in Redis: one (``redis://``, ``rediss://``, ``socket://``), ``sentinel://`` or ``redis+cluster://``."""

import logging
import select
import time

from kombu.utils.functional import retry_over_time

logger = logging.getLogger("celery.backends.redis")

from svcjobs_celery_compat.backends.redis.backend import E_LOST, RedisBackend  # noqa: E402  # they log by it
from svcjobs_celery_compat.backends.redis.cluster import ClusterBackend  # noqa: E402
from svcjobs_celery_compat.backends.redis.consumer import ResultConsumer  # noqa: E402
from svcjobs_celery_compat.backends.redis.scripts import (  # noqa: E402
    CHORD_CLAIM_EXTEND_LUA,
    CHORD_CLEANUP_LUA,
    CHORD_PART_RETURN_LUA,
)
from svcjobs_celery_compat.backends.redis.sentinel import SentinelBackend, SentinelManagedSSLConnection  # noqa: E402
from svcjobs_celery_compat.backends.redis.sockets import _socket_readable  # noqa: E402
from svcjobs_celery_compat.canvas import maybe_signature  # noqa: E402

__all__ = (
    "CHORD_CLAIM_EXTEND_LUA",
    "CHORD_CLEANUP_LUA",
    "CHORD_PART_RETURN_LUA",
    "E_LOST",
    "ClusterBackend",
    "RedisBackend",
    "ResultConsumer",
    "SentinelBackend",
    "SentinelManagedSSLConnection",
    "_socket_readable",
    "logger",
    "maybe_signature",
    "retry_over_time",
    "select",
    "time",
)
