"""One use of Celery in a code base."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a use fares: ``supported`` as it is, ``differs`` as the advice says, ``missing``: it has to be replaced."""

    SUPPORTED = "supported"
    DIFFERS = "differs"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One use of Celery.

    Args:
        path: the file.
        line: its line, from 1; 0 is the file as a whole.
        use: what is used, as the code names it.
        verdict: how that fares.
        advice: what differs, or what to do; empty when nothing is to be done.
    """

    path: str
    line: int
    use: str
    verdict: Verdict
    advice: str = ""
