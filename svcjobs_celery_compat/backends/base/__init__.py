"""What all result backends share, under the names that Celery documents.

A backend of one's own subclasses :class:`BaseBackend` and writes ``_store_result``, ``_get_task_meta_for``, ``_forget``
and, for groups, ``_save_group``, ``_restore_group``, ``_delete_group``; or :class:`KeyValueStoreBackend`, and writes
``get``, ``set``, ``mget`` and ``delete``.
"""

import time

from svcjobs_celery_compat._state import get_current_task
from svcjobs_celery_compat.backends.base.backend import Backend, unpickle_backend
from svcjobs_celery_compat.backends.base.compression import (
    COMPRESSED_PAYLOAD_MAGIC,
    compress_payload,
    decompress_payload,
)
from svcjobs_celery_compat.backends.base.disabled import DisabledBackend
from svcjobs_celery_compat.backends.base.encoding import (
    EXCEPTION_ABLE_CODECS,
    MESSAGE_BUFFER_MAX,
    _nulldict,
    pending_results_t,
)
from svcjobs_celery_compat.backends.base.errbacks import _create_fake_task_request
from svcjobs_celery_compat.backends.base.failures import _create_chord_error_with_cause
from svcjobs_celery_compat.backends.base.keyvalue import BaseKeyValueStoreBackend
from svcjobs_celery_compat.backends.base.sync import SyncBackendMixin
from svcjobs_celery_compat.canvas import chord, group, maybe_signature
from svcjobs_celery_compat.result import GroupResult

__all__ = (
    "COMPRESSED_PAYLOAD_MAGIC",
    "EXCEPTION_ABLE_CODECS",
    "MESSAGE_BUFFER_MAX",
    "Backend",
    "BaseBackend",
    "BaseDictBackend",
    "BaseKeyValueStoreBackend",
    "DisabledBackend",
    "GroupResult",
    "KeyValueStoreBackend",
    "SyncBackendMixin",
    "_create_chord_error_with_cause",
    "_create_fake_task_request",
    "_nulldict",
    "chord",
    "compress_payload",
    "decompress_payload",
    "get_current_task",
    "group",
    "maybe_signature",
    "pending_results_t",
    "time",
    "unpickle_backend",
)


class BaseBackend(Backend, SyncBackendMixin):
    """A backend that is asked for results again and again, until they are there."""


BaseDictBackend = BaseBackend  # its old name


class KeyValueStoreBackend(BaseKeyValueStoreBackend, SyncBackendMixin):
    """A key-value store that is asked for results again and again, until they are there."""
