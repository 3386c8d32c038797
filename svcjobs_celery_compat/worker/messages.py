"""The message of a leased job, as a request reads it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kombu.serialization import loads
from kombu.utils.json import object_hook

from svcjobs.errors import InvalidJob
from svcjobs.job import Job
from svcjobs_celery_compat.exceptions import InvalidTaskError
from svcjobs_celery_compat.transport.wire import decode
from svcjobs_celery_compat.worker.strategy import proto1_to_proto2

MALFORMED = (InvalidJob, InvalidTaskError, ValueError, TypeError, KeyError, AttributeError, LookupError)
"""What reading a bad message raises, beside what kombu's serializers do."""
_PLAIN = frozenset((str, int, float, bool, type(None)))


class JobMessage:
    """Has the attributes of kombu's messages that a task is made from.

    A task in JSON lies in its job as it is, and needs no decoding a second time.

    Args:
        job: a leased job.
        accept: content types that are decoded.

    Raises:
        InvalidJob: the job holds no message.
        ContentDisallowed: its content type isn't accepted.
        DecodeError: its body can't be decoded.
    """

    __slots__ = ("body", "content_encoding", "content_type", "delivery_info", "headers", "payload", "properties")

    def __init__(self, job: Job, accept: Collection[str]) -> None:
        kombu = job.payload.get("_kombu") if isinstance(job.payload, dict) else None
        if isinstance(kombu, dict) and "embed" in kombu and "typed" not in kombu:
            self.body: Any = None
            self.payload: Any = (_typed(job.payload["args"]), _typed(job.payload["kwargs"]), _typed(kombu["embed"]))
            message = kombu
        else:
            message = decode(job.payload)
            self.body = message["body"]
            self.payload = loads(self.body, message["content-type"], message["content-encoding"], accept=accept)
        self.content_type: str = message["content-type"]
        self.content_encoding: str = message["content-encoding"]
        self.headers: dict[str, Any] = message["headers"] or {}
        self.properties: dict[str, Any] = message["properties"] or {}
        self.delivery_info: dict[str, Any] = {
            **(self.properties.get("delivery_info") or {}),
            "redelivered": job.attempts > 1,
        }
        if "task" not in self.headers:
            body, headers, *_ = proto1_to_proto2(self, self.payload)
            self.payload, self.headers = body, headers


def _typed(value: Any) -> Any:
    """`value` with the objects that kombu's JSON writes as ``{"__type__": …, "__value__": …}``."""
    kind = type(value)
    if kind is dict:
        typed = value if _PLAIN.issuperset(map(type, value.values())) else _typed_values(value)
        return object_hook(typed) if "__type__" in typed else typed
    if kind is list and not _PLAIN.issuperset(map(type, value)):
        return [_typed(each) for each in value]
    return value


def _typed_values(value: dict[str, Any]) -> dict[str, Any]:
    return {key: _typed(each) for key, each in value.items()}
