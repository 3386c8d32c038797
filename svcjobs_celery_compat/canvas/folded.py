"""Long chains in parts: a message carries the next steps, the others wait in the result backend.

A message holds all the steps that are left of its chain, as Celery's workers expect it, and so does each task in the
header of a chord. Of a chain of n chords that is n² steps to send. So beyond ``LIMIT`` bytes the steps are stored in
parts, and a message holds those of its part and a reference to the next: a task that calls what it refers to, and is
called as any other step. It has the id of the last step, so that what fails the steps that are left fails the result
that people wait for.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from kombu.serialization import dumps, loads, prepare_accept_content
from kombu.utils import json
from kombu.utils.uuid import uuid

from svcjobs_celery_compat.canvas.links import header_of, kind
from svcjobs_celery_compat.canvas.signatures import Signature, maybe_signature

#: bytes of JSON from which steps are stored
LIMIT = 16 * 1024

#: bytes of JSON of the steps in a part
PART = 8 * 1024

#: seconds that a part is kept: a chain may take that long to reach it
KEPT = 30 * 24 * 3600

TASK = "svcjobs.unfold"

#: the options of the last step that say what its end means for others
_PLACE = ("task_id", "root_id", "group_id", "group_index", "chord", "link_error")


def is_long(steps: list[Any], app: Any) -> bool:
    """Whether the steps are to be folded.

    They are not if the result backend keeps no keys, or if they can't be written as JSON: they have to be pickled, say.
    """
    if len(steps) < 2 or not _keeps_keys(app):
        return False
    try:
        return sum(map(_size, steps)) > LIMIT
    except (TypeError, ValueError):
        return False


def folded(steps: list[Any], app: Any) -> list[Any]:
    """Of ``steps``, from last to first, those of the first part, and before them a reference to the others."""
    part: list[Any] = []
    size = 0
    for at, step in enumerate(steps):
        step_size = _size(step)
        if part and size + step_size > PART:
            part, size = [_reference(steps[0], steps[at - 1], store(part, app), app)], 0
        part.append(step)
        size += step_size
    return part


def _size(step: Any) -> int:
    return len(json.dumps(step))


def _keeps_keys(app: Any) -> bool:
    from svcjobs_celery_compat.backends.base import KeyValueStoreBackend

    return isinstance(app.backend, KeyValueStoreBackend)


def _reference(last: Any, first: Any, part_id: str, app: Any) -> Any:
    """The task that calls the part that begins with ``first``, in a chain that ends with ``last``."""
    options = _end_of(last).options
    place = {key: options[key] for key in _PLACE if options.get(key) is not None}
    leaf = _start_of(first)
    route = {key: leaf.options[key] for key in ("queue", "exchange", "routing_key") if leaf.options.get(key)}
    return Signature(TASK, (part_id,), options={"route_name": leaf.task, **route, **place}, app=app)


def _end_of(step: Any) -> Any:
    step = maybe_signature(step)
    return _end_of(step.body) if kind(step) == "chord" and step.body else step


def _start_of(step: Any) -> Any:
    step = maybe_signature(step)
    form = kind(step)
    members = header_of(step) if form == "chord" else list(step.tasks) if form else []
    return _start_of(members[0]) if members else step


def store(steps: list[Any], app: Any) -> str:
    """Keep the steps of a part; returns its id. They are serialised, and signed, as a message of the app would be."""
    part_id = str(uuid())
    content_type, encoding, data = dumps(steps, serializer=app.conf.task_serializer)
    body = data if isinstance(data, bytes) else data.encode()
    value = json.dumps({"type": content_type, "encoding": encoding, "body": b64encode(body).decode()})
    key = _key(part_id, app)
    app.backend.set(key, value)
    app.backend.expire(key, KEPT)
    return part_id


def load(part_id: str, app: Any) -> list[Any]:
    """The steps of a part as they were written, from last to first.

    Raises:
        LookupError: they are gone: kept for 30 days, or until somebody emptied the result backend.
        kombu.exceptions.ContentDisallowed: they are of a type that the app doesn't accept.
    """
    value = app.backend.get(_key(part_id, app))
    if value is None:
        raise LookupError(
            f"the steps of a chain that part {part_id} held are gone from the result backend, where they are kept for "
            "30 days; send the chain again from the task after the last one that ran"
        )
    part = json.loads(value)
    accept = prepare_accept_content(app.conf.accept_content)
    return list(loads(b64decode(part["body"]), part["type"], part["encoding"], accept=accept))


def _key(part_id: str, app: Any) -> Any:
    return app.backend.get_key_for_group(part_id, ".steps")
