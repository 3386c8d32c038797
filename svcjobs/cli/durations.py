"""Options that are a number of seconds."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from svcjobs.job import LONGEST_SECONDS

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPELLED = re.compile(rf"(\d+(?:\.\d+)?)([{''.join(_UNITS)}])")


def in_seconds(text: str) -> str:
    """``90s``, ``15m``, ``2h``, ``7d`` and ``1w`` as a number of seconds; other text as it is."""
    found = _SPELLED.fullmatch(text)
    return str(float(found[1]) * _UNITS[found[2]]) if found else text


class Duration(click.FloatRange):
    """A number that timers can take: neither NaN nor infinity, and a hundred years at most. It may have a unit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        given: Any = in_seconds(value) if isinstance(value, str) else value
        seconds = float(super().convert(given, param, ctx))
        if math.isnan(seconds) or seconds > LONGEST_SECONDS:
            self.fail(f"{value} is no time to wait: give a number of seconds, {LONGEST_SECONDS} at most.", param, ctx)
        return seconds


SECONDS = Duration(min=0, min_open=True)
SECONDS_OR_NONE = Duration(min=0)
"""0 is none at all."""
