"""Text for people: shortened, indented, pluralized, expanded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from io import StringIO
from pprint import pformat
from textwrap import fill
from typing import Any

__all__ = (
    "abbr",
    "abbrtask",
    "dedent",
    "dedent_initial",
    "ensure_newlines",
    "ensure_sep",
    "fill_paragraphs",
    "indent",
    "join",
    "pluralize",
    "pretty",
    "simple_format",
    "str_to_list",
    "truncate",
)

RE_FORMAT = re.compile(r"%([%\w])")


def str_to_list(s: Any) -> Any:
    """Return the parts of a text that are separated by commas; anything but text as it is."""
    return s.split(",") if isinstance(s, str) else s


def dedent_initial(s: str, n: int = 4) -> str:
    """Remove `n` spaces at the start of the first line, if it has them."""
    return s[n:] if s[:n] == " " * n else s


def dedent(s: str, sep: str = "\n") -> str:
    """Remove four spaces at the start of each line that has them."""
    return sep.join(dedent_initial(line) for line in s.splitlines())


def fill_paragraphs(s: str, width: int, sep: str = "\n") -> str:
    """Break each paragraph into lines of `width` characters."""
    return sep.join(fill(paragraph, width) for paragraph in s.split(sep))


def join(l: list[str], sep: str = "\n") -> str:  # noqa: E741 - Celery's name
    """Join the texts that aren't empty."""
    return sep.join(text for text in l if text)


def ensure_sep(sep: str, s: str, n: int = 2) -> str:
    """Return `s` with as many `sep` added as it takes to have `n`."""
    return s + sep * (n - s.count(sep))


ensure_newlines = partial(ensure_sep, "\n")


def abbr(S: str | None, max: int, ellipsis: str | bool | None = "...") -> str:
    """Shorten to `max` characters, the ellipsis included; None becomes ``???``."""
    if S is None:
        return "???"
    if len(S) <= max:
        return S
    if isinstance(ellipsis, str) and ellipsis:
        return S[: max - len(ellipsis)] + ellipsis
    return S[:max]


def abbrtask(S: str | None, max: int) -> str:
    """Shorten the name of a task, at the expense of its module."""
    if S is None:
        return "???"
    if len(S) <= max:
        return S
    module, _, cls = S.rpartition(".")
    module = abbr(module, max - len(cls) - 3, False)
    return f"{module}[.]{cls}"


def indent(t: str, indent: int = 0, sep: str = "\n") -> str:
    """Put `indent` spaces before each line."""
    return sep.join(" " * indent + line for line in t.split(sep))


def truncate(s: str, maxlen: int = 128, suffix: str = "...") -> str:
    """Cut off what is behind `maxlen` characters, at a space if there is one, and say so by `suffix`."""
    if maxlen and len(s) >= maxlen:
        return s[:maxlen].rsplit(" ", 1)[0] + suffix
    return s


def pluralize(n: float, text: str, suffix: str = "s") -> str:
    """Return the plural of `text`, unless `n` is 1."""
    return text + suffix if n != 1 else text


def pretty(value: Any, width: int = 80, nl_width: int = 80, sep: str = "\n", **kw: Any) -> str:
    """Format a value over several lines; a dict begins on a line of its own."""
    if isinstance(value, dict):
        return f"{{{sep} {pformat(value, 4, nl_width)[1:]}"
    if isinstance(value, tuple):
        return f"{sep}{' ' * 4}{pformat(value, width=nl_width, **kw)}"
    return pformat(value, width=width, **kw)


def match_case(s: str, other: str) -> str:
    """Return `s` in upper case if `other` is, else in lower case."""
    return s.upper() if other.isupper() else s.lower()


def simple_format(
    s: str,
    keys: Mapping[str, str | Callable[[], str]],
    pattern: re.Pattern[str] = RE_FORMAT,
    expand: str = r"\1",
) -> str:
    """Replace ``%x`` by ``keys["x"]`` (or what that returns), and ``%%`` by ``%``.

    :raises ValueError: there is a ``%`` with an unknown letter.
    """
    if not s:
        return s
    keys = {"%": "%", **keys}

    def value_of(match: re.Match[str]) -> str:
        key = match.expand(expand)
        try:
            value = keys[key]
        except KeyError:
            raise ValueError(
                f"Unknown format %{key} in {s!r}: known are {', '.join('%' + known for known in sorted(keys))}. "
                f"Write %%{key} for a percent sign and {key!r}; what is expanded twice needs it twice."
            ) from None
        return str(value() if callable(value) else value)

    return pattern.sub(value_of, s)


def remove_repeating_from_task(task_name: str, s: str) -> str:
    """Name the module of `task_name` only the first time that it occurs in `s`."""
    module, dot, _ = task_name.rpartition(".")
    return remove_repeating(module + dot, s) if module else s


def remove_repeating(substr: str, s: str) -> str:
    """Remove all but the first occurrence of `substr` as a whole prefix of a dotted name."""
    seen = False

    def keep_first(match: re.Match[str]) -> str:
        nonlocal seen
        seen, text = True, "" if seen else match.group()
        return text

    return re.sub(rf"(?<![\w.-]){re.escape(substr)}", keep_first, s)


class WhateverIO(StringIO):
    """A text stream in memory that also takes bytes (UTF-8)."""

    def __init__(self, v: bytes | str | None = None, *a: Any, **kw: Any) -> None:
        super().__init__(v.decode() if isinstance(v, bytes) else v, *a, **kw)

    def write(self, data: bytes | str) -> int:
        return super().write(data.decode() if isinstance(data, bytes) else data)
