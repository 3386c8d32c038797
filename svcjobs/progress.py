"""How far a handler is, as it says itself."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from svcjobs.errors import InvalidJob

NOTE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """What a handler reported last.

    Args:
        done: how much is done, in a unit of the handler's own.
        total: how much there is to do; None when that isn't known.
        note: what it is at; cut after 200 characters.
        at: when it was reported, seconds since the epoch.

    Raises:
        InvalidJob: a number isn't finite, or below zero.
    """

    done: float
    total: float | None = None
    note: str = ""
    at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        for value in (self.done, self.total):
            if value is not None and not 0 <= value < math.inf:
                raise InvalidJob(f"the progress is {self.done!r} of {self.total!r}: give numbers from 0")
        if len(self.note) > NOTE_CHARACTERS:
            object.__setattr__(self, "note", self.note[: NOTE_CHARACTERS - 1] + "…")

    def __str__(self) -> str:
        text = f"{self.done:g}" if self.total is None else f"{self.done:g} of {self.total:g}"
        if self.total:
            text += f" ({100 * self.done / self.total:.0f} %)"
        return f"{text} {self.note}".rstrip()
