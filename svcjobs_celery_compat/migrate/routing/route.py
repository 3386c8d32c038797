"""One line of the routing table."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from svcjobs.errors import ConfigurationError

_SHARES = 10_000
"""A share of tasks is told to a hundredth of a percent."""
_WILD = re.compile(r"[*?\[\]]")


class Side(StrEnum):
    """The two kinds of workers."""

    SVCJOBS = "svcjobs"
    CELERY = "celery"

    def queue_beside(self, queue: str) -> str:
        """The queue that only workers of this kind take, beside one that all take: ``celery.svcjobs``."""
        return f"{queue}.{self}"


def is_beside(queue: str) -> bool:
    """Whether a queue is that of one side: what is sent there isn't sent on."""
    return any(queue.endswith(f".{side}") for side in Side)


@dataclass(frozen=True)
class Route:
    """Where some share of some tasks goes.

    Args:
        pattern: name of a task, or ``*``, ``?`` and ``[…]`` as in file names.
        to: the kind of worker.
        percent: of the tasks, 0 to 100; the others stay in the queue that all take.

    Raises:
        ConfigurationError: pattern or percent can't be used.
    """

    pattern: str
    to: Side
    percent: float = 100.0

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ConfigurationError("the pattern of a route is empty: give a task's name, or one such as 'proj.*'")
        if not 0 <= self.percent <= 100:
            raise ConfigurationError(f"the route of {self.pattern} has {self.percent:g} percent: give 0 to 100")

    @cached_property
    def rank(self) -> tuple[bool, int, str]:
        """Routes are asked in this order: a name before patterns, a longer pattern before a shorter one."""
        return bool(_WILD.search(self.pattern)), -len(_WILD.sub("", self.pattern)), self.pattern

    def covers(self, task: str) -> bool:
        """Whether it is about a task of this name."""
        return task == self.pattern or fnmatchcase(task, self.pattern)

    def takes(self, task_id: str) -> bool:
        """Whether a task with this id is in its share: always the same answer, and still yes when the share grows."""
        return zlib.crc32(task_id.encode("utf-8", "surrogatepass")) % _SHARES < self.percent * _SHARES / 100

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Route:
        """The route that :meth:`document` gave.

        Raises:
            KeyError, TypeError, ValueError, ConfigurationError: it is none.
        """
        return cls(str(document["pattern"]), Side(document["to"]), float(document["percent"]))
