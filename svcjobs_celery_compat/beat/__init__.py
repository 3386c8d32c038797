"""Beat: sends tasks at their times.

:class:`Scheduler` is what other packages subclass; it keeps a schedule in memory. :class:`PersistentScheduler` keeps it
in a file, and has to run alone. :class:`~svcjobs_celery_compat.beat.redis_scheduler.RedisScheduler`, the default where
the broker is in Redis, keeps there which ticks were sent: any number may run, and each tick is sent once.
"""

import logging

from svcjobs_celery_compat.utils.log import get_logger

logger: logging.Logger = get_logger("celery.beat")
debug, info, error, warning = logger.debug, logger.info, logger.error, logger.warning

DEFAULT_MAX_INTERVAL = 300
"""Most seconds between looks at the schedule."""

# the modules below log by the names above, which is where they are looked for
from svcjobs_celery_compat.beat.embedded import EmbeddedService, _Process, _Threaded  # noqa: E402
from svcjobs_celery_compat.beat.entry import (  # noqa: E402
    BeatLazyFunc,
    ScheduleEntry,
    SchedulingError,
    _evaluate_entry_args,
    _evaluate_entry_kwargs,
)
from svcjobs_celery_compat.beat.persistent import PersistentScheduler  # noqa: E402
from svcjobs_celery_compat.beat.pidbox import BeatPidbox  # noqa: E402
from svcjobs_celery_compat.beat.scheduler import Scheduler, event_t  # noqa: E402
from svcjobs_celery_compat.beat.service import NODENAME_DEFAULT, Service, beat_nodename  # noqa: E402

__all__ = (
    "DEFAULT_MAX_INTERVAL",
    "NODENAME_DEFAULT",
    "BeatLazyFunc",
    "BeatPidbox",
    "EmbeddedService",
    "PersistentScheduler",
    "ScheduleEntry",
    "Scheduler",
    "SchedulingError",
    "Service",
    "_Process",
    "_Threaded",
    "_evaluate_entry_args",
    "_evaluate_entry_kwargs",
    "beat_nodename",
    "event_t",
)
