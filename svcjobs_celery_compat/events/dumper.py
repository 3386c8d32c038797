"""Events as lines of text: ``celery events --dump``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from kombu.utils.functional import LRUCache

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.utils.time import humanize_seconds

__all__ = ("Dumper", "evdump")

TASK_NAMES: Any = LRUCache(limit=0xFFF)
"""Names and arguments of tasks by id: only the first event of a task has them."""

HUMAN_TYPES = {"worker-offline": "shutdown", "worker-online": "started", "worker-heartbeat": "heartbeat"}

CONNECTION_ERROR = "-> Cannot connect to %s: %s.\nTrying again %s\n"


def humanize_type(type: str) -> str:
    """The type of an event in words."""
    return HUMAN_TYPES.get(type.lower(), type.lower().replace("-", " "))


class Dumper:
    """Writes events.

    Args:
        out: where to.
    """

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self.out = out

    def say(self, msg: str) -> None:
        """Write a line, at once: it may be piped."""
        print(msg, file=self.out, flush=True)

    def on_event(self, ev: dict[str, Any]) -> None:
        """Write an event; its fields are taken out of it."""
        timestamp = datetime.fromtimestamp(ev.pop("timestamp"), UTC)
        type = ev.pop("type").lower()
        hostname = ev.pop("hostname")
        if not type.startswith("task-"):
            fields = ", ".join(f"{key}={ev[key]}" for key in sorted(ev))
            self.say(f"{hostname} [{timestamp}] {humanize_type(type)}: {fields}")
            return
        uuid = ev.pop("uuid")
        if type in ("task-received", "task-sent"):
            task = TASK_NAMES[uuid] = f"{ev.pop('name')}({uuid}) args={ev.pop('args')} kwargs={ev.pop('kwargs')}"
        else:
            task = TASK_NAMES.get(uuid, "")
        self.format_task_event(hostname, timestamp, type, task, ev)

    def format_task_event(
        self, hostname: str, timestamp: datetime, type: str, task: str, event: dict[str, Any]
    ) -> None:
        """Write an event of a task."""
        fields = ", ".join(f"{key}={event[key]}" for key in sorted(event))
        between = ":" if fields else ""
        self.say(f"{hostname} [{timestamp}] {humanize_type(type)}{between} {task} {fields}")


def evdump(app: Any = None, out: TextIO = sys.stdout) -> None:
    """Write the events of a cluster until interrupted."""
    app = app_or_default(app)
    dumper = Dumper(out=out)
    dumper.say("-> evdump: starting capture...")
    conn = app.connection_for_read().clone()

    def on_error(error: Exception, seconds: int) -> None:
        when = humanize_seconds(seconds, "in", " ")
        dumper.say(CONNECTION_ERROR % (conn.as_uri(), error, when))

    while True:
        try:
            conn.ensure_connection(on_error)
            receiver = app.events.Receiver(conn, handlers={"*": dumper.on_event})
            receiver.capture()
        except (KeyboardInterrupt, SystemExit):
            conn.close()
            return
        except conn.connection_errors + conn.channel_errors:
            dumper.say("-> Connection lost, attempting reconnect")
