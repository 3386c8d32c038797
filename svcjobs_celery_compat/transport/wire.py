"""A kombu message as a job, and back. The body's bytes, headers and properties are the same after both."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import dumps as dumps_typed
from kombu.utils.json import loads as loads_typed

from svcjobs.errors import InvalidJob
from svcjobs.job import LONGEST_SECONDS, PAYLOAD_DECODER, Job, NewJob
from svcjobs.retry import RetryPolicy

Message = dict[str, Any]
Payload = dict[str, Any]

PLAIN_NAME = "kombu.message"
"""Name of a job whose message is no task."""
META = ("headers", "properties", "content-type", "content-encoding")
FAILED_REQUEST = "svcjobs_request"
"""Property of a message whose publication failed, for the next try; it isn't stored."""
_OF_DELIVERY = ("delivery_tag", "body_encoding", FAILED_REQUEST)
_LONG_NUMBER = re.compile(rb"\d{16}")
_ENCODER = json.JSONEncoder()
_STR = frozenset((str,))
_PLAIN = frozenset((int, bool, type(None)))
_CONTAINERS = frozenset((dict, list, tuple))


def encode(message: Message) -> tuple[str, Payload]:
    """Name and payload of the job for a message whose body is text or bytes.

    A task of protocol 2 in JSON that comes back byte for byte is stored as ``args``, ``kwargs`` and ``_kombu``, so
    that other workers can read it. Any other body is opaque, in base64.
    """
    body = _as_bytes(message["body"])
    meta: dict[str, Any] = {name: message.get(name) for name in META}
    meta["properties"] = {name: value for name, value in meta["properties"].items() if name not in _OF_DELIVERY}
    kombu = meta if _is_json(meta) else {"typed": dumps_typed(meta)}
    task = _read_task(body, message)
    if task:
        args, kwargs, kombu["embed"] = task
        return _name(message["headers"]["task"]), {"args": args, "kwargs": kwargs, "_kombu": kombu}
    kombu["body"] = base64.b64encode(body).decode()
    return _name(_header(message, "task") or _protocol_1(message, body).get("task")), {"_kombu": kombu}


def as_job(message: Message, priority: int) -> NewJob:
    """The job for a message; ``priority`` is the queue's, from 0 (first) to 9."""
    name, payload = encode(message)
    lifetime = lifetime_seconds(message)
    return NewJob(
        name,
        payload,
        delay_seconds=min(delay_seconds(message), LONGEST_SECONDS),
        priority=priority,
        retry=None if lifetime is None else RetryPolicy(max_elapsed_seconds=min(lifetime, LONGEST_SECONDS)),
    )


def decode(payload: Payload) -> Message:
    """The message of a job: body in bytes, no delivery tag yet.

    Raises:
        InvalidJob: the payload is no message's.
    """
    try:
        kombu = payload["_kombu"]
        meta = loads_typed(kombu["typed"]) if "typed" in kombu else kombu
        message = {name: meta[name] for name in META}
        message["headers"], message["properties"] = dict(meta["headers"]), dict(meta["properties"])
        if "body" in kombu:
            message["body"] = base64.b64decode(kombu["body"], validate=True)
        else:
            message["body"] = _ENCODER.encode([payload["args"], payload["kwargs"], kombu["embed"]]).encode()
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InvalidJob(f"the payload holds no kombu message: {error!r}") from error
    return message


def delivered(job: Job) -> Message:
    """The message of a reserved job, as its consumer gets it; the delivery tag names the lease.

    Raises:
        InvalidJob: as :func:`decode`.
    """
    message = decode(job.payload)
    properties = message["properties"]
    properties["delivery_tag"] = f"{job.queue}:{job.id}:{job.lease}"
    properties["delivery_info"] = dict(properties.get("delivery_info") or {})
    if job.attempts > 1:
        message["headers"]["redelivered"] = properties["delivery_info"]["redelivered"] = True
    message["job"] = job
    return message


def delay_seconds(message: Message) -> float:
    """Seconds until the ``eta`` of a task message; 0 when it has none, or it is over, or no instant."""
    eta = task_field(message, "eta")
    if not isinstance(eta, str):
        return 0.0
    try:
        instant = datetime.fromisoformat(eta)
    except ValueError:
        return 0.0
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - datetime.now(UTC).timestamp())


def task_field(message: Message, name: str) -> Any:
    """A field of a task, from the headers (protocol 2) or a body in JSON (protocol 1); None when it has none."""
    value = _header(message, name)
    if value is None and _header(message, "task") is None:
        return _protocol_1(message, _as_bytes(message["body"])).get(name)
    return value


def lifetime_seconds(message: Message) -> float | None:
    """Seconds after which a message is no longer to be delivered, by its property ``expiration`` (milliseconds).

    A task with ``expires`` is delivered all the same: the worker that gets it stores the result REVOKED.
    """
    expiration = message["properties"].get("expiration")
    if expiration is None or _header(message, "expires") is not None:
        return None
    try:
        return max(0.001, float(expiration) / 1000)
    except (TypeError, ValueError):
        return None


def _read_task(body: bytes, message: Message) -> tuple[Any, Any, Any] | None:
    if message.get("content-type") != "application/json" or str(message.get("content-encoding")).lower() != "utf-8":
        return None
    # long numbers are rounded by some readers of JSON
    if not isinstance(_header(message, "task"), str) or _LONG_NUMBER.search(body):
        return None
    try:
        text = body.decode()
        value = PAYLOAD_DECODER.decode(text)
        if type(value) is not list or [type(part) for part in value] != [list, dict, dict]:
            return None
        if b"\\ud" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return (value[0], value[1], value[2]) if _ENCODER.encode(value) == text else None
    except (ValueError, RecursionError):
        return None


def _protocol_1(message: Message, body: bytes) -> dict[str, Any]:
    """The fields of a task message of protocol 1, which has them all in its body."""
    if message.get("content-type") != "application/json" or b'"task"' not in body:
        return {}
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _header(message: Message, name: str) -> Any:
    return (message.get("headers") or {}).get(name)


def _name(task: Any) -> str:
    return task if isinstance(task, str) and task and task.isprintable() else PLAIN_NAME


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body or b"")


def _is_json(container: Any) -> bool:
    """Whether JSON in UTF-8 holds a dict, list or tuple without kombu's marks for other types."""
    parts = container
    if type(container) is dict:
        if not _STR.issuperset(map(type, container)) or not _is_text("".join(container)):
            return False
        parts = container.values()
    for part in parts:  # most are text or None: a call for each would cost more than all that is asked
        kind = type(part)
        if kind is str:
            if not _is_text(part):
                return False
        elif kind not in _PLAIN and not (_is_json(part) if kind in _CONTAINERS else _is_finite(part)):
            return False
    return True


def _is_finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
