"""Results as messages (``rpc://``): each goes back to the process that sent its task, once."""

import logging

from kombu.common import maybe_declare

from svcjobs_celery_compat.backends.rpc.backend import BacklogLimitExceeded, RPCBackend
from svcjobs_celery_compat.backends.rpc.consumer import ResultConsumer

__all__ = ("BacklogLimitExceeded", "RPCBackend", "ResultConsumer", "logger", "maybe_declare")

logger = logging.getLogger("celery.backends.rpc")
