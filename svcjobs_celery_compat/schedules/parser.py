"""The fields of a crontab expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from svcjobs_celery_compat.utils.time import weekday, yearmonth

_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\w*))?")


class ParseException(Exception):
    """A crontab field can't be read."""


class crontab_parser:
    """Reads one field of a crontab expression.

    A field is a list of parts, separated by commas: ``*``, a number or a name, or a range of them; a ``*`` or a range
    may have a step: ``*/15``, ``8-17/2``. A range that ends before it begins goes round: ``fri-mon``.

    Args:
        max_: how many values the field has.
        min_: the smallest of them.
    """

    ParseException = ParseException

    def __init__(self, max_: int = 60, min_: int = 0) -> None:
        self.max_ = max_
        self.min_ = min_

    def parse(self, spec: str) -> set[int]:
        """The values that a field stands for.

        Raises:
            ParseException: a part is empty, or is no part at all.
            ValueError: a number or a name is out of range, or unknown.
        """
        values: set[int] = set()
        for part in spec.split(","):
            values.update(self._parse_part(part.strip()))
        return values

    def _parse_part(self, part: str) -> Iterable[int]:
        if not part:
            raise ParseException("empty part")
        found = _PART.fullmatch(part)
        if found is None or (found["step"] is not None and found["first"] and not found["last"]):
            if part.startswith("-"):
                raise ParseException("negative numbers not supported")
            if part.endswith("/") or "/-" in part:
                raise ParseException("empty filter")
            raise ValueError(f"Invalid weekday literal {part!r}.")
        if found["first"] is None:
            values: Sequence[int] = range(self.min_, self.min_ + self.max_)
        else:
            values = self._span(*(text for text in (found["first"], found["last"]) if text))
        return values if found["step"] is None else self._steps(values, found["step"])

    def _span(self, first: str, last: str | None = None) -> Sequence[int]:
        low = self._number(first)
        if last is None:
            return [low]
        high = self._number(last)
        if high < low:
            return [*range(low, self.min_ + self.max_), *range(self.min_, high + 1)]
        return range(low, high + 1)

    def _range_steps(self, toks: Sequence[str]) -> Sequence[int]:
        """The values of a range ``first, last, step``."""
        if len(toks) != 3 or not toks[2]:
            raise ParseException("empty filter")
        return self._steps(self._span(toks[0], toks[1]), toks[2])

    def _steps(self, values: Sequence[int], step: str) -> Sequence[int]:
        if not step:
            raise ParseException("empty filter")
        return values[:: int(step)]

    def _number(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            return self._named(text)
        most = self.min_ + self.max_ - 1
        if number > most:
            raise ValueError(f"Invalid end range: {number} > {most}.")
        if number < self.min_:
            raise ValueError(f"Invalid beginning range: {number} < {self.min_}.")
        return number

    def _named(self, text: str) -> int:
        for number_of in (weekday, yearmonth):
            try:
                return number_of(text)
            except KeyError:
                continue
        raise ValueError(f"Invalid weekday literal {text!r}.")
