"""Signals that applications connect functions to: ``@task_failure.connect``.

The sender of task signals is the task (or its name), that of worker signals the worker or its name.
"""

from __future__ import annotations

from svcjobs_celery_compat.utils.dispatch import Signal

__all__ = (
    "after_setup_logger",
    "after_setup_task_logger",
    "after_task_publish",
    "beat_embedded_init",
    "beat_init",
    "before_task_publish",
    "celeryd_after_setup",
    "celeryd_init",
    "eventlet_pool_apply",
    "eventlet_pool_postshutdown",
    "eventlet_pool_preshutdown",
    "eventlet_pool_started",
    "heartbeat_sent",
    "import_modules",
    "setup_logging",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_sent",
    "task_success",
    "task_unknown",
    "user_preload_options",
    "worker_before_create_process",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
)

# - publishing

#: Before a message is sent; its body, headers and properties may be changed. The sender is the task's name.
before_task_publish = Signal(
    name="before_task_publish",
    providing_args={"body", "exchange", "routing_key", "headers", "properties", "declare", "retry_policy"},
)
#: After a message was sent. The sender is the task's name.
after_task_publish = Signal(name="after_task_publish", providing_args={"body", "exchange", "routing_key"})
#: Deprecated in Celery in favour of :data:`after_task_publish`.
task_sent = Signal(name="task_sent", providing_args={"task_id", "task", "args", "kwargs", "eta", "taskset"})

# - running

#: A worker got a task. The sender is its consumer.
task_received = Signal(name="task_received", providing_args={"request"})
#: Before a task runs.
task_prerun = Signal(name="task_prerun", providing_args={"task_id", "task", "args", "kwargs"})
#: After a task ran, whatever came of it.
task_postrun = Signal(name="task_postrun", providing_args={"task_id", "task", "args", "kwargs", "retval"})
#: A task returned.
task_success = Signal(name="task_success", providing_args={"result", "runtime"})
#: A task is to be retried.
task_retry = Signal(name="task_retry", providing_args={"request", "reason", "einfo"})
#: A task failed.
task_failure = Signal(
    name="task_failure", providing_args={"task_id", "exception", "args", "kwargs", "traceback", "einfo"}
)
#: Running a task failed in the framework itself.
task_internal_error = Signal(
    name="task_internal_error",
    providing_args={"task_id", "args", "kwargs", "request", "exception", "traceback", "einfo"},
)
#: A task was revoked or terminated, or came too late.
task_revoked = Signal(name="task_revoked", providing_args={"request", "terminated", "signum", "expired"})
#: A message can't be read as one of a task.
task_rejected = Signal(name="task_rejected", providing_args={"message", "exc"})
#: A message names a task that isn't registered.
task_unknown = Signal(name="task_unknown", providing_args={"message", "exc", "name", "id"})

# - workers

#: Before a worker is set up, with its name as the sender; for configuration by worker.
celeryd_init = Signal(name="celeryd_init", providing_args={"instance", "conf", "options"})
#: After a worker is set up, with its name as the sender; for changes to its queues.
celeryd_after_setup = Signal(name="celeryd_after_setup", providing_args={"instance", "conf"})
#: The app imports its modules of tasks.
import_modules = Signal(name="import_modules")
#: Before a worker starts.
worker_init = Signal(name="worker_init")
#: With Celery, in the main process, before a pool process is made. Not sent here: what makes processes has no app.
worker_before_create_process = Signal(name="worker_before_create_process")
#: In each pool process, when it starts; receivers may take 4 seconds.
worker_process_init = Signal(name="worker_process_init")
#: In each pool process, before it ends.
worker_process_shutdown = Signal(name="worker_process_shutdown")
#: A worker takes jobs from now on.
worker_ready = Signal(name="worker_ready")
#: A worker was asked to end.
worker_shutting_down = Signal(name="worker_shutting_down")
#: A worker is about to end.
worker_shutdown = Signal(name="worker_shutdown")
#: A worker sent a heartbeat.
heartbeat_sent = Signal(name="heartbeat_sent")

# - logging

#: Connect to it to set up logging yourself: the framework then leaves it alone.
setup_logging = Signal(name="setup_logging", providing_args={"loglevel", "logfile", "format", "colorize"})
#: After the framework set up the root logger.
after_setup_logger = Signal(
    name="after_setup_logger", providing_args={"logger", "loglevel", "logfile", "format", "colorize"}
)
#: After the framework set up the logger of tasks.
after_setup_task_logger = Signal(
    name="after_setup_task_logger", providing_args={"logger", "loglevel", "logfile", "format", "colorize"}
)

# - beat

#: A beat process starts.
beat_init = Signal(name="beat_init")
#: A beat inside of a worker starts; :data:`beat_init` was sent as well.
beat_embedded_init = Signal(name="beat_embedded_init")

# - green threads

eventlet_pool_started = Signal(name="eventlet_pool_started")
eventlet_pool_preshutdown = Signal(name="eventlet_pool_preshutdown")
eventlet_pool_postshutdown = Signal(name="eventlet_pool_postshutdown")
eventlet_pool_apply = Signal(name="eventlet_pool_apply", providing_args={"target", "args", "kwargs"})

# - command line

#: Options that the application added to the command line were read.
user_preload_options = Signal(name="user_preload_options", providing_args={"app", "options"})
