"""Log lines that say which job they belong to, as text or as JSON. Standard library logging only."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from svcjobs.attempt import current_job, job_fields
from svcjobs.failure import format_error

_SECRET = re.compile(
    r"""(://[^/@\s:"']*:)[^/\s"']+(?=@)|([?&]\w*(?:password|token|secret)\w*=)[^&#\s"']+""", re.IGNORECASE
)
_STANDARD = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "in_job"])


class JobFilter(logging.Filter):
    """Lets every record pass, and adds ``job_id``, ``job_name``, ``attempt``, ``queue`` and ``worker`` to it.

    For a handler (``logging.Handler.addFilter``). Records from outside of a job get ``worker`` only. What a record has
    already, as an ``extra``, stays.

    Args:
        worker: the process's name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        job = current_job()
        fields = {} if job is None else job_fields(job)
        # a line that was written about a job, from outside, names it in its text
        record.in_job = bool(fields)
        for name, value in {"worker": self._worker, **fields}.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class PlainFormatter(logging.Formatter):
    """Lines for people; those from inside of a job say which. Passwords in URLs are masked.

    For a handler that has a :class:`JobFilter`.
    """

    def format(self, record: logging.LogRecord) -> str:
        return _masked(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = vars(record)
        where = "[{job_id} {job_name} attempt={attempt} queue={queue}] ".format_map(fields) if fields["in_job"] else ""
        head = f"{self.formatTime(record)} {record.levelname:<7} {fields['worker']} {record.name}"
        return f"{head}: {where}{record.message}"

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return format_error(ei[1]).rstrip("\n")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, ``exception`` if there is one, what
    :class:`JobFilter` added, and the ``extra`` of the call. Passwords in URLs are masked.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        further = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        # what an extra calls as the line's own fields is kept, beside them
        line |= {f"extra_{name}" if name in line else name: value for name, value in further.items()}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = format_error(record.exc_info[1])
        if record.stack_info:
            line["stack"] = record.stack_info
        # in ASCII: valid JSON whatever encoding stderr has
        return _masked(json.dumps(line, default=str, skipkeys=True))


class JournalHandler(logging.Handler):
    """Keeps lines that are logged inside of a job with what the job reports; see :mod:`svcjobs.journal`."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        job = current_job()
        if job is None or (reporting := job.reporting) is None:
            return
        try:
            reporting.line(job, _masked(self.format(record)))
        except Exception:  # noqa: BLE001 - as any handler does
            self.handleError(record)


def _masked(text: str) -> str:
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}***", text) if "://" in text else text
