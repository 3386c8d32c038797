"""Questions about type annotations."""

from __future__ import annotations

import types
import typing
from inspect import isclass
from typing import Any

__all__ = ("annotation_is_class", "annotation_issubclass", "get_optional_arg", "is_none_type")


def is_none_type(value: Any) -> bool:
    """Return whether `value` is the class of None."""
    return value is type(None)


def get_optional_arg(annotation: Any) -> Any:
    """Return ``X`` of ``Optional[X]`` or ``X | None``; None for anything else."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return None
    arguments = typing.get_args(annotation)
    others = [argument for argument in arguments if not is_none_type(argument)]
    return others[0] if len(others) == 1 and len(arguments) == 2 else None


def annotation_is_class(annotation: Any) -> bool:
    """Return whether an annotation is a class, not a generic alias such as ``list[str]``."""
    return isclass(annotation) and not isinstance(annotation, types.GenericAlias)


def annotation_issubclass(annotation: Any, cls: type) -> bool:
    """Return whether an annotation is a subclass of `cls`."""
    return annotation_is_class(annotation) and issubclass(annotation, cls)
