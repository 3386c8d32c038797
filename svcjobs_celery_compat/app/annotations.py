"""Attributes of tasks that the configuration changes: ``task_annotations``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from svcjobs_celery_compat.utils.functional import firstmethod, mlazy
from svcjobs_celery_compat.utils.imports import instantiate

__all__ = ("MapAnnotation", "prepare", "resolve_all")

_first_match = firstmethod("annotate")
_first_match_any = firstmethod("annotate_any")


class MapAnnotation(dict[str, Any]):
    """Annotations by the name of the task; those of ``*`` are for all."""

    def annotate_any(self) -> dict[str, Any] | None:
        """Return the attributes for all tasks."""
        return dict(self["*"]) if "*" in self else None

    def annotate(self, task: Any) -> dict[str, Any] | None:
        """Return the attributes for this task."""
        return dict(self[task.name]) if task.name in self else None


def prepare(annotations: Any) -> Any:
    """Return the annotations of a setting as objects with ``annotate`` and ``annotate_any``.

    :param annotations: a mapping, an object, the name of its class, or a list of them.
    """

    def expand(annotation: Any) -> Any:
        if isinstance(annotation, dict):
            return MapAnnotation(annotation)
        if isinstance(annotation, str):
            return mlazy(instantiate, annotation)
        return annotation

    if annotations is None:
        return ()
    if not isinstance(annotations, (list, tuple)):
        annotations = (annotations,)
    return [expand(annotation) for annotation in annotations]


def resolve_all(anno: Any, task: Any) -> Iterator[dict[str, Any]]:
    """Yield the attributes for all tasks, and then those for this one."""
    return (found for found in (_first_match_any(anno), _first_match(anno, task)) if found)
