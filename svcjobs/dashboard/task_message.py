"""A task of Celery in a job's payload, in the form that docs/data-model.md describes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_IDS = {"task": "id", "parent": "parent_id", "root": "root_id", "group": "group"}
_DEEPEST = 5
"""Levels of groups and chains in each other whose tasks are named."""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """What there is to see of a task.

    Args:
        args: positional arguments; None when only a worker can read them.
        kwargs: named arguments; None when only a worker can read them.
        headers: of the message.
        embed: callbacks, errbacks, chain and chord, as signatures.
        opaque: what the body is, when only a worker can read it.
    """

    args: Sequence[Any] | None
    kwargs: Mapping[str, Any] | None
    headers: Mapping[str, Any]
    embed: Mapping[str, Any]
    opaque: str = ""

    @property
    def ids(self) -> dict[str, str]:
        """The ids of the task and of those it belongs to."""
        return {shown: str(self.headers[name]) for shown, name in _IDS.items() if self.headers.get(name)}

    @property
    def follow_ups(self) -> dict[str, list[str]]:
        """Names of the tasks that run after it, in their order, by why they do."""
        chain = list(reversed(_names(self.embed.get("chain"))))  # the next one stands last
        found = {
            "then": chain,
            "on success": _names(self.embed.get("callbacks")),
            "on failure": _names(self.embed.get("errbacks")),
            "chord": _names([self.embed.get("chord")]),
        }
        return {why: names for why, names in found.items() if names}

    @property
    def shown(self) -> dict[str, Any]:
        """The arguments, or what the sender wrote of them into the headers."""
        if self.args is not None:
            return {"args": self.args, "kwargs": self.kwargs}
        told = {name: self.headers[f"{name}repr"] for name in ("args", "kwargs") if self.headers.get(f"{name}repr")}
        return {**told, "body": self.opaque}


def read_task(payload: Mapping[str, Any]) -> TaskMessage | None:
    """The task that a payload holds; None when it is one of another job."""
    message = payload.get("_kombu")
    if not isinstance(message, Mapping):
        return None
    headers = _mapping(message.get("headers"))
    body = [payload["args"], payload.get("kwargs"), message.get("embed")] if "args" in payload else _read(message)
    if isinstance(body, list) and len(body) == 3:
        args, kwargs, embed = body
        return TaskMessage(args if isinstance(args, list) else [], _mapping(kwargs), headers, _mapping(embed))
    kind = f"{message.get('content-type') or 'unknown content'}, {len(str(message.get('body', '')))} characters"
    return TaskMessage(None, None, headers, {}, kind)


def _read(message: Mapping[str, Any]) -> object:
    """A body in JSON that another reader of JSON would change, such as one with NaN in it."""
    if message.get("content-type") != "application/json":
        return None
    try:
        return json.loads(base64.b64decode(str(message.get("body", "")), validate=True))
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(signatures: object, depth: int = 0) -> list[str]:
    if not isinstance(signatures, list):
        return []
    return [_name(signature, depth) for signature in signatures if isinstance(signature, Mapping)]


def _name(signature: Mapping[str, Any], depth: int) -> str:
    """The name of a task; for a group, chain or chord that of each task in it."""
    name = str(signature.get("task", "?"))
    kwargs = _mapping(signature.get("kwargs"))
    parts = kwargs.get("tasks", kwargs.get("header"))
    if not name.startswith("celery.") or depth >= _DEEPEST:
        return name
    if isinstance(parts, Mapping):
        parts = _mapping(parts.get("kwargs")).get("tasks")
    names = _names(parts, depth + 1)
    body = _names([kwargs.get("body")], depth + 1)
    inner = ", ".join(names) + (f" → {body[0]}" if body else "")
    return f"{name.removeprefix('celery.')}({inner})" if inner else name
