"""What other modules of Celery, and its users, need everywhere; most of it is found in the submodules."""

from __future__ import annotations

from kombu.utils.objects import cached_property
from kombu.utils.uuid import uuid

from svcjobs_celery_compat.utils.functional import chunks, memoize, noop
from svcjobs_celery_compat.utils.imports import (
    gen_task_name,
    get_cls_by_name,
    get_full_cls_name,
    import_from_cwd,
    instantiate,
)
from svcjobs_celery_compat.utils.log import LOG_LEVELS
from svcjobs_celery_compat.utils.nodenames import nodename, nodesplit, worker_direct

gen_unique_id = uuid

__all__ = (
    "LOG_LEVELS",
    "cached_property",
    "chunks",
    "gen_task_name",
    "gen_unique_id",
    "get_cls_by_name",
    "get_full_cls_name",
    "import_from_cwd",
    "instantiate",
    "memoize",
    "nodename",
    "nodesplit",
    "noop",
    "uuid",
    "worker_direct",
)
