"""How far a move of messages is."""

from __future__ import annotations

from typing import Any

MOVING_PROGRESS_FMT = "Moving task {state.filtered}/{state.strtotal}: {body[task]}[{body[id]}]"


class StopFiltering(Exception):
    """There are enough: raised in a callback, it ends the filtering."""


class State:
    """How far a move is.

    Attributes:
        count: messages looked at.
        filtered: messages that were moved.
        total_apx: messages there were at the start, about.
    """

    count = 0
    filtered: Any = 0
    total_apx = 0

    @property
    def strtotal(self) -> str:
        """The total in text; ``?`` when it isn't known."""
        return str(self.total_apx) if self.total_apx else "?"

    def __repr__(self) -> str:
        return f"^{self.filtered}" if self.filtered else f"{self.count}/{self.strtotal}"


def filter_status(state: State, body: Any, message: Any, **kwargs: Any) -> None:
    """A callback that says what is moved."""
    print(MOVING_PROGRESS_FMT.format(state=state, body=body, **kwargs))  # noqa: T201  # that's its purpose
