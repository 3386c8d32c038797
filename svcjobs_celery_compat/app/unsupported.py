"""Settings of Celery that have no effect here, and what happens instead."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from svcjobs_celery_compat.app.defaults import DEFAULTS, SETTING_KEYS
from svcjobs_celery_compat.exceptions import UnsupportedSettingWarning

__all__ = ("INSTEAD", "warn_unsupported")

_MEASURED = "a worker fetches what it is about to start, by the run time that it measures"
_ENGINE = "the pools and timers of svcjobs are used"
_RABBITMQ = "it is one of RabbitMQ, and queues lie in Redis"
_NO_STORE = "there is no result store of that kind: use redis://, db+…://, rpc:// or cache+memory://"
_BEAT = "the default scheduler keeps its state in Redis, for all processes"

#: What happens in place of each setting that has no effect.
INSTEAD: dict[str, str] = {
    "beat_schedule_filename": f"{_BEAT}; `svcjobs migrate beat` reads a file once",
    "beat_sync_every": f"{_BEAT}, written with each tick",
    "broker_channel_error_retry": "workers connect again after any error of the connection, for as long as it takes",
    "broker_failover_strategy": "a Redis Sentinel or Cluster fails over by itself",
    "broker_heartbeat": "a connection that is silent for too long is given up by its time-out",
    "broker_heartbeat_checkrate": "a connection that is silent for too long is given up by its time-out",
    "broker_login_method": _RABBITMQ,
    "broker_native_delayed_delivery_queue_type": "delayed tasks wait in Redis, however many there are",
    "task_create_missing_queue_type": _RABBITMQ,
    "task_default_delivery_mode": "each message is as durable as the Redis server is set up to be",
    "task_default_queue_type": _RABBITMQ,
    "task_queue_max_priority": "each queue has the priorities 0 to 9",
    "worker_agent": _ENGINE,
    "worker_cancel_long_running_tasks_on_connection_loss": (
        "the lease of a task decides: one that is lost can't be settled, and another worker runs the task again"
    ),
    "worker_detect_quorum_queues": _RABBITMQ,
    "worker_disable_prefetch": _MEASURED,
    "worker_enable_prefetch_count_reduction": _MEASURED,
    "worker_eta_task_limit": "delayed tasks wait in Redis, none in a worker",
    "worker_lost_wait": "a worker that dies is noticed at once, and its tasks are looked after when their leases end",
    "worker_pool_putlocks": _ENGINE,
    "worker_pool_start_method": "pool processes are forked",
    "worker_prefetch_multiplier": _MEASURED,
    "worker_proc_alive_timeout": "a pool process is waited for as long as it takes to start",
    "worker_timer": _ENGINE,
    **{
        name: _NO_STORE
        for name in sorted(SETTING_KEYS)
        if name.startswith(
            ("arangodb_", "azureblockblob_", "cassandra_", "cosmosdbsql_", "couchbase_", "elasticsearch_", "gcs_",
             "mongodb_", "s3_")
        )
    },
}  # fmt: skip

#: Values that ask for what happens anyway.
_SAME: dict[str, tuple[Any, ...]] = {
    "broker_heartbeat": (0,),
    "task_default_delivery_mode": ("persistent",),
    "task_queue_max_priority": (9, 10),
    "worker_disable_prefetch": (True,),
    "worker_pool_start_method": ("fork",),
    "worker_prefetch_multiplier": (1,),
}


@cache
def _warn(name: str) -> None:
    warnings.warn(UnsupportedSettingWarning(f"{name} has no effect: {INSTEAD[name]}."), stacklevel=4)


def warn_unsupported(settings: Any) -> None:
    """Warn of each setting that is configured, to something that is not done, once a process.

    :param settings: those of an app, without defaults.
    """
    for name in INSTEAD:
        value = settings.get(name)
        if value is not None and value not in (DEFAULTS[name], *_SAME.get(name, ())):
            _warn(name)
