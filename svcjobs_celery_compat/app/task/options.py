"""What a task can be configured with: the attributes that every task has."""

from __future__ import annotations

from typing import Any, ClassVar


class Options:
    """The attributes of :class:`~svcjobs_celery_compat.app.task.Task`.

    Those that are None and in ``from_config`` take the app's setting.
    """

    #: Such as ``proj.tasks.add``; made of the module and the function's name if not given.
    name: str | None = None

    #: Whether the arguments of a call are checked against the function; the app's ``strict_typing``.
    typing: bool | None = None

    #: Most starts of the task in a worker: ``100/s``, ``10/m``, ``2/h``, or a number a second; None: any.
    rate_limit: Any = None

    #: Store no results.
    ignore_result: bool | None = None

    #: Keep a list of the results of tasks that this one called.
    trail: bool = True

    #: Send events of this task.
    send_events: bool = True

    #: Store errors though ``ignore_result`` is on.
    store_errors_even_if_ignored: bool | None = None

    #: Store the result of a task that ran eagerly.
    store_eager_result: bool | None = None

    #: The form of the message, such as ``json``.
    serializer: str | None = None

    #: Seconds until the run is ended: with its process, and by an exception that it can catch.
    time_limit: float | None = None
    soft_time_limit: float | None = None

    #: Store the state STARTED when a worker starts the task.
    track_started: bool | None = None

    #: Acknowledge the message after the run instead of before it, so that the task runs again when its worker is lost.
    acks_late: bool | None = None

    #: With ``acks_late``: acknowledge failed runs, too.
    acks_on_failure_or_timeout: bool | None = None
    acks_on_failure: bool | None = None
    acks_on_timeout: bool | None = None

    #: With ``acks_late``: put the message back when the process of the run was lost.
    reject_on_worker_lost: bool | None = None
    retry_on_worker_lost: bool | None = None

    #: Exceptions that are expected, and no error for the log or the dead letter queue.
    throws: Any = ()

    #: Seconds after which a call that hasn't begun is revoked, or the moment.
    expires: Any = None

    #: 0 to 9; the app's ``task_default_priority``.
    priority: int | None = None

    #: Where calls go unless ``apply_async`` or ``task_routes`` says so.
    queue: Any
    exchange: Any
    routing_key: Any
    delivery_mode: Any
    compression: Any

    #: Most characters of the result's repr in log lines and events.
    resultrepr_maxsize: int = 1024

    from_config: ClassVar[tuple[tuple[str, str], ...]] = (
        ("serializer", "task_serializer"),
        ("rate_limit", "task_default_rate_limit"),
        ("priority", "task_default_priority"),
        ("time_limit", "task_time_limit"),
        ("soft_time_limit", "task_soft_time_limit"),
        ("track_started", "task_track_started"),
        ("acks_late", "task_acks_late"),
        ("acks_on_failure_or_timeout", "task_acks_on_failure_or_timeout"),
        ("acks_on_failure", "task_acks_on_failure"),
        ("acks_on_timeout", "task_acks_on_timeout"),
        ("reject_on_worker_lost", "task_reject_on_worker_lost"),
        ("retry_on_worker_lost", "task_retry_on_worker_lost"),
        ("ignore_result", "task_ignore_result"),
        ("store_eager_result", "task_store_eager_result"),
        ("store_errors_even_if_ignored", "task_store_errors_even_if_ignored"),
    )
