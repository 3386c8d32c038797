"""A task that a worker has received: what its message says, and what becomes of it."""

from __future__ import annotations

import logging
from functools import cached_property
from time import monotonic, time
from typing import Any

from svcjobs_celery_compat.app.task import Context
from svcjobs_celery_compat.app.trace import fast_trace_task, trace_task, trace_task_ret
from svcjobs_celery_compat.exceptions import InvalidTaskError, TaskRevokedError
from svcjobs_celery_compat.utils.functional import noop
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.nodenames import gethostname
from svcjobs_celery_compat.utils.time import maybe_iso8601, maybe_make_aware
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.ending import Ending

__all__ = ("Request",)

logger = get_logger("celery.worker.request")
_does_info = logger.isEnabledFor(logging.INFO)
_does_debug = logger.isEnabledFor(logging.DEBUG)

task_accepted, task_ready = state.task_accepted, state.task_ready
revoked_tasks, revoked_stamps = state.revoked, state.revoked_stamps


class Request(Ending):
    """One delivery of a task message.

    Args:
        message: kombu's, or anything with its attributes.
        on_ack: called with a logger and the connection's errors when the message is done with.
        on_reject: the same with a third argument, whether to deliver it again.
        hostname: the worker's name.
        eventer: sends events.
        app: of the task.
        connection_errors: of the broker.
        request_dict: used in place of the headers.
        task: the task; looked up by its name without.
        body: used in place of the message's.
        headers: used in place of the message's.
        decoded: whether `body` is arguments already, and no text.
        utc: whether times without a zone are in UTC.

    Raises:
        InvalidTaskError: an ``eta`` or ``expires`` is no time.
        KeyError: a header that each task message has is missing, or the task is unknown.
    """

    acknowledged = False
    time_start: float | None = None
    worker_pid: int | None = None
    time_limits: Any = (None, None)
    _already_revoked = False
    _already_cancelled = False
    _terminate_on_ack: Any = None
    _apply_result: Any = None
    _tzlocal: Any = None

    def __init__(
        self,
        message: Any,
        on_ack: Any = noop,
        hostname: str | None = None,
        eventer: Any = None,
        app: Any = None,
        connection_errors: Any = None,
        request_dict: Any = None,
        task: Any = None,
        on_reject: Any = noop,
        body: Any = None,
        headers: Any = None,
        decoded: bool = False,
        utc: bool = True,
        maybe_make_aware: Any = maybe_make_aware,
        maybe_iso8601: Any = maybe_iso8601,
        **opts: Any,
    ) -> None:
        self._message = message
        self._request_dict: dict[str, Any] = (message.headers if headers is None else headers).copy()
        self.body = message.body if body is None else body
        self.app = app
        self.utc = utc
        self._decoded = decoded
        self.content_type: str | None = None if decoded else message.content_type
        self.content_encoding: str | None = None if decoded else message.content_encoding
        head = self._request_dict
        self.id = head["id"]
        self.type = head["task"]
        self.name = head.get("shadow") or self.type
        self.root_id, self.parent_id = head.get("root_id"), head.get("parent_id")
        self.time_limits = head.get("timelimit") or (None, None)
        self.argsrepr, self.kwargsrepr = head.get("argsrepr", ""), head.get("kwargsrepr", "")
        self.on_ack, self.on_reject = on_ack, on_reject
        self.hostname = hostname or gethostname()
        self.eventer = eventer
        self.connection_errors = connection_errors or ()
        self.task = task or app.tasks[self.type]
        self.eta: Any = None
        self.expires: Any = None
        if (eta := head.get("eta")) is not None:
            self.eta = self._instant("eta", eta, maybe_iso8601, maybe_make_aware)
        if (expires := head.get("expires")) is not None:
            self.expires = self._instant("expires", expires, maybe_iso8601, maybe_make_aware)
        delivery = message.delivery_info or {}
        properties = message.properties or {}
        self.delivery_info = {
            "exchange": delivery.get("exchange"),
            "routing_key": delivery.get("routing_key"),
            "priority": properties.get("priority"),
            "redelivered": delivery.get("redelivered", False),
        }
        head.update(
            properties=properties, reply_to=properties.get("reply_to"),
            correlation_id=properties.get("correlation_id"), hostname=self.hostname, delivery_info=self.delivery_info,
        )  # fmt: skip

    def _instant(self, name: str, value: Any, read: Any, make_aware: Any) -> Any:
        try:
            value = read(value)
        except (AttributeError, ValueError, TypeError) as exc:
            raise InvalidTaskError(f"invalid {name} value {value!r}: {exc}") from exc
        return make_aware(value, None if self.utc else self.app.conf.timezone)

    # what the message says

    @property
    def request_dict(self) -> dict[str, Any]:
        """Its headers, and what of its properties a task sees."""
        return self._request_dict

    @property
    def message(self) -> Any:
        """The message itself."""
        return self._message

    @cached_property
    def _payload(self) -> Any:
        return self.body if self._decoded else self._message.payload

    @property
    def __payload(self) -> Any:
        # receivers of task_received read a task's callbacks there, as Celery has no other name for them
        return self._payload

    @property
    def args(self) -> Any:
        """Positional arguments."""
        return self._payload[0]

    @property
    def kwargs(self) -> Any:
        """Keyword arguments."""
        return self._payload[1]

    @property
    def _embed(self) -> dict[str, Any]:
        return self._payload[2] or {}

    @cached_property
    def chord(self) -> Any:
        """The body of the chord that the task is a member of."""
        return self._embed.get("chord")

    @cached_property
    def errbacks(self) -> Any:
        """What is called if the task fails."""
        return self._embed.get("errbacks")

    @property
    def group(self) -> Any:
        """Id of the task's group."""
        return self.request_dict.get("group")

    @property
    def groups(self) -> Any:
        """Ids of all groups around the task."""
        return self.request_dict.get("groups")

    @property
    def group_index(self) -> Any:
        """Place of the task in its group, from 0."""
        return self.request_dict.get("group_index")

    @property
    def stamped_headers(self) -> Any:
        """Names of the stamps."""
        return self._message.headers.get("stamped_headers") or []

    @property
    def stamps(self) -> dict[str, Any]:
        """The stamps by name."""
        stamps = self._message.headers.get("stamps") or {}
        return {header: stamps.get(header) for header in self.stamped_headers}

    @property
    def replaced_task_nesting(self) -> int:
        """How many tasks this one replaces."""
        return int(self.request_dict.get("replaced_task_nesting", 0))

    @property
    def reply_to(self) -> Any:
        """Name of the reply queue."""
        return self.request_dict["reply_to"]

    @property
    def correlation_id(self) -> Any:
        """Id for the reply."""
        return self.request_dict["correlation_id"]

    @property
    def ignore_result(self) -> bool:
        """Whether no result is kept."""
        own = self.request_dict.get("ignore_result")
        return bool(self.task.ignore_result if own is None else own)

    @property
    def store_errors(self) -> bool:
        """Whether a failure is kept."""
        return bool(not self.ignore_result or self.task.store_errors_even_if_ignored)

    @property
    def tzlocal(self) -> Any:
        """The app's time zone."""
        if self._tzlocal is None:
            self._tzlocal = self.app.conf.timezone
        return self._tzlocal

    @property
    def task_id(self) -> str:
        """The same as ``id``."""
        return str(self.id)

    @task_id.setter
    def task_id(self, value: str) -> None:
        self.id = value

    @property
    def task_name(self) -> str:
        """The same as ``name``."""
        return str(self.name)

    @task_name.setter
    def task_name(self, value: str) -> None:
        self.name = value

    @cached_property
    def _context(self) -> Any:
        head = {**self.request_dict, "args": self.args, "kwargs": self.kwargs, **self._embed}
        return Context(head)

    # running

    def execute(self, loglevel: int | None = None, logfile: str | None = None) -> Any:
        """Run the task in this thread; returns what it returns, None if it was revoked."""
        if self.revoked():
            return None
        if not self.task.acks_late:
            self.acknowledge()
        request = {
            **self.request_dict, "loglevel": loglevel, "logfile": logfile, "is_eager": False,
            "args": self.args, "kwargs": self.kwargs, **self._embed,
        }  # fmt: skip
        result, told, *_ = trace_task(
            self.task, self.id, self.args, self.kwargs, request, hostname=self.hostname, app=self.app
        )
        if told:
            self.reject(requeue=False)
        else:
            self.acknowledge()
        return result

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> Any:
        """Let ``pool.apply_async`` run the task.

        Raises:
            TaskRevokedError: it was revoked.
        """
        if self.revoked():
            raise TaskRevokedError(self.id)
        hard, soft = self.time_limits or (None, None)
        trace = fast_trace_task if self.app.use_fast_trace_task else trace_task_ret
        result = self._apply_result = pool.apply_async(
            trace,
            args=(self.type, self.id, self.request_dict, self.body, self.content_type, self.content_encoding),
            accept_callback=self.on_accepted,
            timeout_callback=self.on_timeout,
            callback=self.on_success,
            error_callback=self.on_failure,
            soft_timeout=soft or self.task.soft_time_limit,
            timeout=hard or self.task.time_limit,
            correlation_id=self.id,
        )
        return result

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """The task starts."""
        self.worker_pid = pid
        # an instant of the monotonic clock, as Celery's pool tells it
        self.time_start = time() - (monotonic() - time_accepted)
        task_accepted(self)
        if not self.task.acks_late:
            self.acknowledge()
        self.send_event("task-started")
        if _does_debug:
            logger.debug("Task accepted: %s[%s] pid:%r", self.name, self.id, pid)
        if self._terminate_on_ack is not None:
            self.terminate(*self._terminate_on_ack)

    def send_event(self, type: str, **fields: Any) -> None:
        """Send an event about the task, if events are on."""
        if self.eventer and self.eventer.enabled and self.task.send_events:
            self.eventer.send(type, uuid=self.id, **fields)

    # telling of it

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` says; with `safe` the arguments are text."""
        return {
            "id": self.id,
            "name": self.name,
            "args": self.argsrepr if safe else self.args,
            "kwargs": self.kwargsrepr if safe else self.kwargs,
            "type": self.type,
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": self.acknowledged,
            "delivery_info": self.delivery_info,
            "worker_pid": self.worker_pid,
        }

    def humaninfo(self) -> str:
        """Name and id."""
        return f"{self.name}[{self.id}]"

    def __str__(self) -> str:
        parts = [self.humaninfo()]
        if self.eta:
            parts.append(f"ETA:[{self.eta}]")
        if self.expires:
            parts.append(f"expires:[{self.expires}]")
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.humaninfo()} {self.argsrepr} {self.kwargsrepr}>"
