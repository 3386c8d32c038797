"""Jobs and effects as the scripts read and write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from redis.crc import key_slot

from svcjobs.effects import Count, Effect, Follow, SetResult, check_effect
from svcjobs.errors import ConfigurationError, InvalidJob
from svcjobs.job import (
    DEFAULT_BACKOFF_SECONDS,
    DEFAULT_MAX_ATTEMPTS,
    PAYLOAD_DECODER,
    Job,
    NewJob,
    Unique,
    check_id,
    decode_payload,
)
from svcjobs.retry import RetryPolicy

Argument = str | bytes | int | float
T = TypeVar("T")
D = TypeVar("D")

NO_HASH = "the job's hash is missing; a key of another type in its place is kept as {prefix}:corrupt:{id}"
_DOCUMENTED = frozenset((b"id", b"name", b"payload", b"available_at", b"attempts", b"max_attempts", b"backoff_seconds"))
_UNREADABLE = (InvalidJob, ConfigurationError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def wire_id(job_id: str) -> Argument:
    """An id as the server has it: one that isn't UTF-8 came as surrogates and goes back as the same bytes.

    Raises:
        InvalidJob: it isn't text, or text that no bytes can be.
    """
    check_id(job_id)
    return job_id if job_id.isascii() else job_id.encode("utf-8", "surrogateescape")


def seconds_text(seconds: float) -> str:
    """A duration without a needless ``.0``, as the documented decimal strings are."""
    return str(int(seconds)) if seconds == int(seconds) else repr(seconds)


def unique_text(unique: Unique) -> str:
    """A job's ``unique`` field."""
    if unique.window_seconds is None:
        return f"{unique.scope}:{unique.key}"
    return f"window={seconds_text(unique.window_seconds)}:{unique.key}"


def encode_options(job: NewJob, max_attempts: int, backoff_seconds: float) -> str:
    """What isn't default about a new job, as lines of ``name=value``."""
    attempts = max_attempts if job.max_attempts is None else job.max_attempts
    backoff = backoff_seconds if job.backoff_seconds is None else job.backoff_seconds
    options: list[str] = []
    if job.job_id is not None:
        options.append(f"id={job.job_id}")
    if job.delay_seconds:
        options.append(f"delay={job.delay_seconds!r}")
    if attempts != DEFAULT_MAX_ATTEMPTS:
        options.append(f"max_attempts={attempts}")
    if backoff != DEFAULT_BACKOFF_SECONDS:
        options.append(f"backoff={seconds_text(backoff)}")
    if job.priority:
        options.append(f"priority={job.priority}")
    if job.headers:
        options.append(f"headers={json.dumps(job.headers)}")
    rare = (job.retry, job.unique, job.soft_time_limit_seconds, job.time_limit_seconds)
    if rare != (None, None, None, None):
        options += _rare_options(job)
    return "\n".join(options)


def _rare_options(job: NewJob) -> Iterable[str]:
    if job.soft_time_limit_seconds is not None:
        yield f"soft_limit={seconds_text(job.soft_time_limit_seconds)}"
    if job.time_limit_seconds is not None:
        yield f"hard_limit={seconds_text(job.time_limit_seconds)}"
    if job.retry is not None:
        yield from _retry_options(job.retry)
    if job.unique is not None:
        yield from _unique_options(job.unique)


def _retry_options(retry: RetryPolicy) -> Iterable[str]:
    yield f"retry={retry.encode()}"
    if retry.max_elapsed_seconds is not None:
        yield f"elapsed={retry.max_elapsed_seconds!r}"


def _unique_options(unique: Unique) -> Iterable[str]:
    yield f"unique={unique_text(unique)}"
    if unique.window_seconds is not None:
        yield f"window={max(1, round(unique.window_seconds * 1000))}"


def encode_effects(
    effects: Sequence[Effect],
    prefix: str,
    *,
    encode_job: Callable[[NewJob], tuple[str, str, str]],
    home_db: Callable[[], int],
    cluster: bool,
    lease: str,
) -> list[Argument]:
    """The number of effects and their arguments, five each; on a cluster, those of other slots become relays."""
    arguments: list[Argument] = []
    for index, effect in enumerate(effects):
        check_effect(effect)
        encoded = _encode_effect(effect, prefix, encode_job)
        target = str(encoded[1])
        if cluster and key_slot(target.encode()) != key_slot(prefix.encode()):
            arguments += ("relay", _encode_relay(f"{prefix}:{lease}:{index}", encoded), "", "", "")
        elif isinstance(effect, SetResult) and effect.db is not None:
            arguments += ("db", effect.db, "", "", "", *encoded, "db", home_db(), "", "", "")
        else:
            arguments += encoded
    return [len(arguments) // 5, *arguments]


def _encode_effect(
    effect: Effect, prefix: str, encode_job: Callable[[NewJob], tuple[str, str, str]]
) -> tuple[Argument, ...]:
    match effect:
        case SetResult():
            return ("set", effect.key, effect.value, _milliseconds(effect.ttl_seconds), effect.channel or "")
        case Count():
            return ("count", effect.key, effect.by, _milliseconds(effect.ttl_seconds), effect.field or "")
        case Follow():
            return ("job", effect.queue or prefix, *encode_job(effect.job))


def _milliseconds(seconds: float | None) -> int | str:
    return "" if seconds is None else max(1, round(seconds * 1000))


def _encode_relay(effect_id: str, encoded: Sequence[Argument]) -> str:
    raw = [value if isinstance(value, bytes) else str(value).encode() for value in encoded]
    return json.dumps([effect_id, *(base64.b64encode(value).decode() for value in raw)])


def decode_relay(blob: bytes) -> tuple[str, list[bytes]]:
    """The id and the five arguments of a relayed effect."""
    effect_id, *encoded = json.loads(blob)
    return effect_id, [base64.b64decode(value) for value in encoded]


def decode_job(queue: str, job_id: bytes, flat: Iterable[bytes]) -> Job:
    """A job from the fields of its hash. What can't be read gives it the verdict ``corrupt`` and says why.

    An id that isn't UTF-8 keeps its bytes as surrogates, which :func:`wire_id` turns back.
    """
    values = iter(flat)
    raw = dict(zip(values, values, strict=False))
    if raw.keys() == _DOCUMENTED and (plain := _read_plain(queue, job_id, raw)):
        return plain
    job = Job(id=job_id.decode("utf-8", "surrogateescape"), name="", payload={}, queue=queue)
    if not raw:
        job.verdict, job.last_error = "corrupt", NO_HASH
        return job
    if not raw.keys() <= _DOCUMENTED:
        _try_to_read(job, raw, _read_further)
    _try_to_read(job, raw, _read_documented)
    job.stored_limits = (job.max_attempts, job.backoff_seconds)
    return job


def _read_plain(queue: str, job_id: bytes, raw: dict[bytes, bytes]) -> Job | None:
    """Most jobs: the documented fields only, all as we write them. None leaves the job to those who read with care.

    It halves the time that reading a job takes, which is most of what a worker spends on a small one.
    """
    try:
        text = raw[b"payload"].decode()
        payload, end = PAYLOAD_DECODER.raw_decode(text)
        available_at = datetime.fromisoformat(raw[b"available_at"].decode())
        max_attempts, backoff_seconds = int(raw[b"max_attempts"]), int(raw[b"backoff_seconds"])
        if type(payload) is not dict or end != len(text) or available_at.tzinfo is None:
            return None
        return Job(
            job_id.decode(), raw[b"name"].decode(), payload, available_at, int(raw[b"attempts"]), max_attempts,
            backoff_seconds, queue=queue, stored_limits=(max_attempts, backoff_seconds),
        )  # fmt: skip
    except (ValueError, RecursionError):
        return None


def _try_to_read(job: Job, raw: dict[bytes, bytes], read: Callable[[Job, dict[bytes, bytes]], None]) -> None:
    try:
        read(job, raw)
    except _UNREADABLE as error:
        job.verdict = "corrupt"
        if job.reason is None:  # a dead job keeps the error that it was buried with
            job.last_error = str(error)


def _read_documented(job: Job, raw: dict[bytes, bytes]) -> None:
    job.name = _field(raw, b"name", bytes.decode)
    job.attempts = _field(raw, b"attempts", int)
    job.max_attempts = _field(raw, b"max_attempts", int, DEFAULT_MAX_ATTEMPTS)
    job.backoff_seconds = _field(raw, b"backoff_seconds", _number, DEFAULT_BACKOFF_SECONDS)
    job.available_at = read_instant(raw.get(b"available_at")) or job.available_at
    job.payload = _field(raw, b"payload", decode_payload)


def _read_further(job: Job, raw: dict[bytes, bytes]) -> None:
    job.last_error = _text(raw.get(b"last_error")) or None
    job.reason = _text(raw.get(b"reason"))
    job.traceback = _text(raw.get(b"traceback"))
    job.dead_at = read_instant(raw.get(b"dead_at"))
    job.priority = _field(raw, b"priority", int, 0)
    job.history = _field(raw, b"history", _read_history, [])
    job.retry = _field(raw, b"retry", lambda text: RetryPolicy.decode(text.decode()), None)
    job.unique = _field(raw, b"unique", _read_unique, None)
    job.headers = _field(raw, b"headers", _read_headers, {})
    job.soft_time_limit_seconds = _field(raw, b"soft_limit", _read_limit, None)
    job.time_limit_seconds = _field(raw, b"hard_limit", _read_limit, None)
    job.suspect = b"suspect" in raw


def _field(raw: dict[bytes, bytes], name: bytes, read: Callable[[bytes], T], *default: D) -> T | D:
    """One field, read; an error names the field."""
    value = raw.get(name)
    if value is None:
        if default:
            return default[0]
        raise InvalidJob(f"the field {name.decode()} is missing")
    try:
        return read(value)
    except _UNREADABLE as error:
        shown = _text(value[:80])
        raise InvalidJob(f"the field {name.decode()} can't be read: {shown!r}: {error}") from error


def _read_history(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split(b"\n") if line]


def _read_headers(text: bytes) -> dict[str, str]:
    return {str(key): str(value) for key, value in json.loads(text).items()}


def _read_unique(raw: bytes) -> Unique:
    scope, _, key = raw.decode().partition(":")
    if scope.startswith("window="):
        return Unique(key, "window", float(scope[7:]))
    return Unique(key, scope)  # type: ignore[arg-type]  # Unique checks it


def _number(text: bytes) -> float:
    value = float(text)
    return int(value) if value == int(value) else value


def _read_limit(text: bytes) -> float:
    seconds = _number(text)
    if not seconds > 0:
        raise InvalidJob("give a positive number of seconds")
    return seconds


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


def read_instant(raw: bytes | None) -> datetime | None:
    """An ISO 8601 instant; it only informs (scores decide), so one that can't be read is no error."""
    if raw is None:
        return None
    try:
        instant = datetime.fromisoformat(raw.decode())
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def pairs(flat: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    """Neighbours of a flat list, two by two."""
    values = iter(flat)
    return zip(values, values, strict=True)
