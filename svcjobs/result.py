"""What a handler says about a job that it ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class JobResult:
    """The outcome of one attempt; the table "JobResult Fields" of the guide.

    Args:
        success: False makes the attempt a failed one: the job is tried again, or dead-lettered.
        message: what happened, for people; the job's ``last_error`` when it failed.
        details: anything else; an empty dict becomes None.
    """

    success: bool
    message: str
    details: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.details = self.details or None
