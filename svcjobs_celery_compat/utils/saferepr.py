"""Representations of values that are never too long, nor fail: for logs, events and message headers."""

from __future__ import annotations

from typing import Any

from kombu.utils.encoding import safe_repr

__all__ = ("saferepr",)

_ELIDED = ", ..."
_DEEPER = "..."


class _Full(Exception):
    """The text is as long as it may be."""


class _Writer:
    """Writes a value, until there are `limit` characters; what is open then is closed."""

    def __init__(self, limit: float, max_levels: int) -> None:
        self.parts: list[str] = []
        self.left = limit
        self.max_levels = max_levels
        self.closers: list[str] = []
        self.inside: set[int] = set()

    def text(self, text: str) -> None:
        if self.left <= 0:
            raise _Full
        if len(text) > self.left:
            text = text[: int(self.left)] + _DEEPER
            self.left = 0
        else:
            self.left -= len(text)
        self.parts.append(text)

    def separator(self, text: str) -> None:
        """Write what isn't shortened."""
        if self.left <= 0:
            raise _Full
        self.parts.append(text)
        self.left -= len(text)

    def quoted(self, text: str, prefix: str = "") -> None:
        if self.left <= 0:
            raise _Full
        if len(text) <= self.left:
            shown = repr(text)
            self.left -= len(shown) + len(prefix)
        else:
            whole = repr(text[: int(self.left)])
            shown = f"{whole[:-1]}{_DEEPER}{whole[-1]}"
            self.left = 0
        self.parts.append(prefix + shown)

    def octets(self, value: bytes) -> None:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.hex()
        self.quoted(text, "b")

    def value(self, value: Any) -> None:
        if isinstance(value, str):
            self.quoted(value)
        elif isinstance(value, bytes):
            self.octets(value)
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            if value:
                self.container(value)
            else:
                self.separator(repr(value))
        else:
            self.text(safe_repr(value))

    def container(self, value: Any) -> None:
        if id(value) in self.inside:
            self.text(f"<Recursion on {type(value).__name__} with id={id(value)}>")
            return
        opening, closing = _parens_of(value)
        self.separator(opening)
        self.closers.append(closing)
        if len(self.closers) > self.max_levels:
            self.parts.append(_DEEPER)
        else:
            self.inside.add(id(value))
            self.items(value)
            self.inside.discard(id(value))
        self.parts.append(self.closers.pop())

    def items(self, value: Any) -> None:
        for number, item in enumerate(value):
            if number:
                self.separator(", ")
            self.value(item)
            if isinstance(value, dict):
                self.separator(": ")
                self.value(value[item])


def _parens_of(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        return "{", "}"
    if isinstance(value, list):
        return "[", "]"
    if isinstance(value, tuple):
        return "(", ",)" if len(value) == 1 else ")"
    if type(value) is set:
        return "{", "}"
    return f"{type(value).__name__}({{", "})"


def saferepr(o: Any, maxlen: int | None = None, maxlevels: int = 3, seen: Any = None) -> str:
    """Return the representation of a value.

    Bytes that are UTF-8 are shown as text, others in hexadecimal digits.

    :param maxlen: about how many characters it may have; what is left out is shown as ``...``, what is open is closed.
    :param maxlevels: levels of containers that are shown; deeper ones are shown as ``...``.
    """
    if o is None and (maxlen is None or maxlen >= len("None")):  # what most tasks return
        return "None"
    writer = _Writer(float("inf") if maxlen is None else maxlen, maxlevels)
    try:
        writer.value(o)
    except _Full:
        writer.parts.append(_ELIDED)
        writer.parts.extend(reversed(writer.closers))
    return "".join(writer.parts)
