"""A job, before it is stored (:class:`NewJob`) and after (:class:`Job`), and how its payload is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from svcjobs.errors import ConfigurationError, InvalidJob, PayloadTooLarge
from svcjobs.progress import Progress
from svcjobs.retry import RetryPolicy, is_number
from svcjobs.tracing import with_context

DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_BACKOFF_SECONDS = 60
MAX_PAYLOAD_BYTES = 1_048_576
LOWEST_PRIORITY = 9
MOST_ATTEMPTS = 10**15 - 1
"""As good as for ever, and a number that every part can hold."""
LONGEST_SECONDS = 100 * 366 * 86400
"""A hundred years: no delay is longer, so that every instant can be written in ISO 8601."""

YEAR_9999 = 253_370_764_800
"""Seconds since the epoch; what an instant can be."""

PAYLOAD_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number (RFC 8259, section 6)")


PAYLOAD_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
MOST_SECONDS_AHEAD = 60
"""A tick that lies further ahead of the queue's clock isn't taken: its scheduler's clock is wrong."""

UniqueScope = Literal["queued", "done", "window"]
Place = Literal["ready", "delayed", "leased", "dead"]
"""Where a stored job lies."""


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one live job with this key in its queue; an enqueue that meets one gets that one back.

    Args:
        key: any text without control characters.
        scope: ``queued`` frees the key when an attempt starts, ``done`` when the job is acked or buried,
            ``window`` when ``window_seconds`` have passed since the enqueue, whatever became of the job.
        window_seconds: only with ``window``.
    """

    key: str
    scope: UniqueScope = "done"
    window_seconds: float | None = None

    def __post_init__(self) -> None:
        _check_text(self.key, "the unique key")
        if self.scope not in ("queued", "done", "window"):
            raise InvalidJob(f"the unique scope is {self.scope!r}: use queued, done or window")
        if (self.scope == "window") != (self.window_seconds is not None):
            raise InvalidJob("window_seconds goes with scope='window', and only with it")
        window = self.window_seconds
        if window is not None and not (is_number(window) and 0 < window <= LONGEST_SECONDS):
            raise InvalidJob(f"window_seconds is {window!r}: give a positive number of seconds")


@dataclass(slots=True)
class NewJob:
    """A job to be stored; the arguments of ``enqueue`` as a value, for ``enqueue_many`` and effects.

    Args:
        name: what the job is, picks its handler.
        payload: its data; anything JSON can hold.
        delay_seconds: not before this many seconds from now.
        max_attempts: attempts before the dead letter queue; None takes the queue's default (5).
        backoff_seconds: base of the retry delay; None takes the queue's default (60).
        retry: how that delay grows; None is linear.
        job_id: an id of the caller's; a live job with it is returned instead of a second one.
        unique: see :class:`Unique`.
        priority: 0 (default, first) to 9 (last), as in Oban, BullMQ and kombu's Redis transport.
        headers: metadata that travels with the job through retries. Made inside an OpenTelemetry span, a job
            carries that span's context here.
        soft_time_limit_seconds: run time after which SoftTimeLimitExceeded is raised in the handler; None takes the
            worker's own limit.
        time_limit_seconds: run time after which the handler's process is killed and the attempt fails; None takes the
            worker's own limit.
    """

    name: str
    payload: dict[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0
    max_attempts: int | None = None
    backoff_seconds: float | None = None
    retry: RetryPolicy | None = None
    job_id: str | None = None
    unique: Unique | None = None
    priority: int = 0
    headers: dict[str, str] | None = None
    soft_time_limit_seconds: float | None = None
    time_limit_seconds: float | None = None

    def __post_init__(self) -> None:
        _check_text(self.name, "the job's name")
        if self.job_id is not None:
            _check_text(self.job_id, "the job's id")
            if len(self.job_id) > 256:
                raise InvalidJob("the job's id is longer than 256 characters")
        check_seconds(self.delay_seconds, "delay_seconds")
        if self.backoff_seconds is not None:
            check_seconds(self.backoff_seconds, "backoff_seconds")
        if self.max_attempts is not None and not _is_attempts(self.max_attempts):
            raise InvalidJob(_bad_attempts(self.max_attempts))
        if self.retry is not None and not isinstance(self.retry, RetryPolicy):
            raise InvalidJob(f"retry is {self.retry!r}: give a RetryPolicy")
        if self.unique is not None and not isinstance(self.unique, Unique):
            raise InvalidJob(f"unique is {self.unique!r}: give Unique(key)")
        if type(self.priority) is not int or not 0 <= self.priority <= LOWEST_PRIORITY:
            raise InvalidJob(f"the priority is {self.priority!r}: give 0 (first) to {LOWEST_PRIORITY} (last)")
        _check_headers(self.headers)
        if self.soft_time_limit_seconds is not None or self.time_limit_seconds is not None:
            _check_limits(self.soft_time_limit_seconds, self.time_limit_seconds)
        self.headers = with_context(self.headers)


class Reporting(Protocol):
    """Where what a job's handler says is kept; :class:`svcjobs.journal.Journal` is one."""

    def report(self, job: Job, progress: Progress, /) -> None:
        """It is so far."""
        ...

    def line(self, job: Job, text: str, /) -> None:
        """It has logged a line."""
        ...

    def end(self, job: Job, /, *, done: bool) -> None:
        """It has ended, and has done its work or not."""
        ...


@dataclass(slots=True)
class Job:
    """A stored job. Handlers receive it and may change it; a settlement looks at what they left.

    The first eight fields are the documented ones. ``lease`` is the token of this reservation, None for a
    job that isn't reserved. ``created`` is False when an enqueue met a live job with the same id or unique
    key. ``verdict`` is None for a job to run; a reserve that found the job past its limit or unreadable sets
    it to the reason (``exhausted``, ``worker_lost``, ``corrupt``) with which it is to be buried.
    ``history`` holds one entry per failed attempt (``attempt``, ``error``, ``at``), oldest first. A ``suspect`` ran
    beside others when their process died: it is to be run with nothing beside it.
    """

    id: str
    name: str
    payload: dict[str, Any]
    available_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    attempts: int = 0
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff_seconds: float = DEFAULT_BACKOFF_SECONDS
    last_error: str | None = None

    queue: str = "jobs"
    priority: int = 0
    retry: RetryPolicy | None = None
    unique: Unique | None = None
    headers: dict[str, str] = field(default_factory=dict)
    lease: str | None = None
    created: bool = True
    verdict: str | None = None
    reason: str | None = None
    dead_at: datetime | None = None
    traceback: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    soft_time_limit_seconds: float | None = None
    time_limit_seconds: float | None = None
    suspect: bool = False
    stored_limits: tuple[int, float] | None = field(default=None, repr=False, compare=False)
    """``max_attempts`` and ``backoff_seconds`` as reserved: shows a settlement what a handler changed."""
    reporting: Reporting | None = field(default=None, repr=False, compare=False)
    """Set while the handler runs in a worker that keeps what it reports."""

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the handler is; ``svcjobs workers`` shows it. Cheap: written once a second, by a thread.

        Kept for a day, and for ten minutes once the job is done. Does nothing outside of a worker.

        Args:
            done: how much is done, in a unit of your own.
            total: how much there is to do, if that is known.
            note: what it is at, up to 200 characters.

        Raises:
            InvalidJob: a number isn't finite, or below zero.
        """
        progress = Progress(done, total, note)
        if self.reporting is not None:
            self.reporting.report(self, progress)

    @property
    def uid(self) -> str:
        """The id that no other job of any queue on the same server has."""
        return f"{self.queue}:{self.id}"

    @property
    def changed_limits(self) -> tuple[int, float] | None:
        """``max_attempts`` and ``backoff_seconds`` when the handler changed one of them, else None.

        Values that can't be used count as unchanged: a handler's slip must not cost the job.
        """
        limits = (self.max_attempts, self.backoff_seconds)
        if self.stored_limits in (None, limits):
            return None
        try:
            check_seconds(self.backoff_seconds, "backoff_seconds")
        except InvalidJob:
            return None
        return limits if _is_attempts(self.max_attempts) else None


def check_queue_settings(visibility_timeout: object, max_attempts: object, backoff_seconds: object) -> None:
    """Raise ConfigurationError when a queue can't work with these: what it stored would be lost or corrupt."""
    try:
        check_seconds(visibility_timeout, "visibility_timeout")
        check_seconds(backoff_seconds, "backoff_seconds")
    except InvalidJob as error:
        raise ConfigurationError(str(error)) from None
    if not _is_attempts(max_attempts):
        raise ConfigurationError(_bad_attempts(max_attempts))


def check_id(job_id: object) -> None:
    """Raise InvalidJob when ``job_id`` can't be a stored job's: ids are text, even those that are numbers.

    Bytes that aren't UTF-8 are text too, as surrogates, since somebody may have stored such an id by hand.
    """
    if not isinstance(job_id, str):
        hint = f": write {str(job_id)!r}" if isinstance(job_id, int) else ""
        raise InvalidJob(f"the job's id is {job_id!r}, but ids are text{hint}")
    try:
        job_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidJob(f"the job's id is {job_id!r}: lone surrogates aren't taken") from None


def as_ids(given: str | Iterable[str]) -> list[str]:
    """One id, or several, as a list.

    Raises:
        InvalidJob: one of them isn't text.
    """
    ids = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    for job_id in ids:
        check_id(job_id)
    return ids


def check_tick(tick_at: object) -> None:
    """Raise InvalidJob when ``tick_at`` is no instant: a finite number of seconds since the epoch."""
    if not (is_number(tick_at) and abs(tick_at) < YEAR_9999):
        raise InvalidJob(f"the tick is at {tick_at!r}: give seconds since the epoch")


def encode_payload(payload: dict[str, Any], limit_bytes: int | None = None) -> str:
    """The payload as JSON text.

    Raises:
        InvalidJob: it isn't a dict, or JSON can't hold it (NaN, infinity, lone surrogates, other types).
        PayloadTooLarge: its encoded form has more than ``limit_bytes``.
    """
    if not isinstance(payload, dict):
        raise InvalidJob(f"the payload is a {type(payload).__name__}: give a dict")
    try:
        text = PAYLOAD_ENCODER.encode(payload)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(f"the payload can't be written as JSON: {error}") from error
    if limit_bytes is not None and size > limit_bytes:
        raise PayloadTooLarge(size, limit_bytes)
    return text


def decode_payload(text: str | bytes) -> dict[str, Any]:
    """The payload from its JSON text.

    Raises:
        InvalidJob: ``text`` isn't a JSON object in UTF-8.
    """
    try:
        payload = PAYLOAD_DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidJob(f"the payload isn't JSON: {error}") from error
    if not isinstance(payload, dict):
        raise InvalidJob(f"the payload is a JSON {type(payload).__name__}, not an object")
    return payload


def _check_text(text: object, what: str) -> None:
    if not isinstance(text, str) or not text:
        raise InvalidJob(f"{what} is {text!r}: give text that isn't empty")
    if not text.isprintable() and any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise InvalidJob(f"{what} is {text!r}: control characters and lone surrogates aren't taken")


def check_seconds(value: object, what: str) -> None:
    """Raise InvalidJob when ``value`` is no duration: a number from 0 to ``LONGEST_SECONDS``."""
    if not (is_number(value) and 0 <= value <= LONGEST_SECONDS):
        raise InvalidJob(f"{what} is {value!r}: give a number of seconds from 0 to {LONGEST_SECONDS}")


def _is_attempts(value: object) -> bool:
    return type(value) is int and 0 < value <= MOST_ATTEMPTS


def _bad_attempts(value: object) -> str:
    shown = repr(value) if type(value) is not int or abs(value) < 10**30 else "too large"
    return f"max_attempts is {shown}: give a whole number from 1 to {MOST_ATTEMPTS}"


def _check_limits(soft_seconds: object, hard_seconds: object) -> None:
    for seconds, what in ((soft_seconds, "soft_time_limit_seconds"), (hard_seconds, "time_limit_seconds")):
        if seconds is not None:
            check_seconds(seconds, what)
            if not seconds:
                raise InvalidJob(f"{what} is {seconds!r}: give a positive number of seconds, or None for no limit")
    if isinstance(soft_seconds, int | float) and isinstance(hard_seconds, int | float) and soft_seconds > hard_seconds:
        raise InvalidJob(
            f"soft_time_limit_seconds is {soft_seconds}, time_limit_seconds {hard_seconds}: the soft limit comes first"
        )


def _check_headers(headers: object) -> None:
    if headers is None:
        return
    if not isinstance(headers, dict) or not all(isinstance(text, str) for item in headers.items() for text in item):
        raise InvalidJob(f"the headers are {headers!r}: give a dict of text by text")
    try:
        "".join(text for item in headers.items() for text in item).encode()
    except UnicodeEncodeError:
        raise InvalidJob(f"the headers are {headers!r}: lone surrogates aren't taken") from None
