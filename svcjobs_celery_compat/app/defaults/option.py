"""A setting: its type, default and former names; and several that share the start of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from svcjobs_celery_compat.utils.serialization import strtobool

__all__ = ("Namespace", "Option", "old_ns")


class Option:
    """A setting.

    :param default: its value, if it isn't configured.
    :param type: name of its type, a key of :attr:`typemap`.
    :param old: its names before Celery 4; the first one is that which an old configuration is shown with.
    :param deprecate_by: version of Celery in which it is deprecated.
    :param remove_by: version of Celery in which it will be removed.
    :param alt: what to use instead.
    """

    alt: str | None = None
    deprecate_by: str | None = None
    remove_by: str | None = None
    old: tuple[str, ...] = ()
    typemap: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "string": str,
        "int": int,
        "float": float,
        "any": lambda value: value,
        "bool": strtobool,
        "bytes": lambda value: value.encode() if isinstance(value, str) else value,
        "dict": dict,
        "list": list,
        "tuple": tuple,
    }

    def __init__(self, default: Any = None, *args: Any, **kwargs: Any) -> None:
        self.default = default
        self.type: str = kwargs.pop("type", None) or "string"
        for name, value in kwargs.items():
            setattr(self, name, value)

    def to_python(self, value: Any) -> Any:
        """Convert a value, as a command line has it, to the setting's type."""
        return self.typemap[self.type](value)

    def __repr__(self) -> str:
        return f"<Option: type->{self.type} default->{self.default!r}>"


def Namespace(__old__: Any = None, **options: Option) -> dict[str, Option]:
    """Return settings that share the start of their names.

    :param __old__: patterns of former names, for settings that don't give theirs.
    """
    for key, option in options.items():
        if __old__ and not option.old:
            option.old = tuple(pattern.format(key) for pattern in __old__)
    return options


def old_ns(ns: str) -> tuple[str, ...]:
    """Return the pattern of former names that begin with `ns`."""
    return (ns + "_{0}",)
