"""A place for one child, and when it is filled again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from svcjobs.census import ChildPipes

Life: TypeAlias = Callable[[ChildPipes], int]
"""What a child does, in a process of its own; returns the exit code."""

YOUNG_SECONDS = 5.0
"""A child that dies sooner, or before it fetched, makes the next one wait."""
LONGEST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_OF_SERVERS_SECONDS = 1.0
SHORTEST_LIFE_SECONDS = 0.2
"""Between two births in one place, however well the children end."""


@dataclass(slots=True)
class Member:
    """A living child.

    Args:
        pid: its process.
        slot: of its sockets.
        born_at: ``time.monotonic()``.
        fetched: whether it was seen to fetch.
        outdated: whether it runs a program that was replaced since.
        kill_at: when it is killed, ``time.monotonic()``, once it was told to stop.
    """

    pid: int
    slot: int
    born_at: float
    fetched: bool = False
    outdated: bool = False
    kill_at: float = float("inf")


@dataclass(slots=True)
class Place:
    """One of the children that a worker should have.

    Args:
        run: the life of each child here.
        member: the child, None while there is none.
        successor: takes over from an outdated member once it fetches.
        young_deaths: how many in a row died young.
        fill_at: no child is started here before, ``time.monotonic()``.
    """

    run: Life
    member: Member | None = None
    successor: Member | None = None
    young_deaths: int = 0
    fill_at: float = 0.0

    def let_go(self, now: float) -> None:
        """The member fetches no more, and ends by itself: another is to be started here now."""
        if self.member is not None:
            self.fill_at = max(now, self.member.born_at + SHORTEST_LIFE_SECONDS)
        self.member, self.successor = self.successor, None

    def lost(self, pid: int, code: int, now: float) -> Member | None:
        """Take the dead child out, and return it; None when it wasn't here.

        One that ended well, with exit code 0, has done its share of jobs.
        """
        dead = next((child for child in (self.member, self.successor) if child and child.pid == pid), None)
        if dead is None:
            return None
        if dead is self.member:
            self.member = self.successor
        self.successor = None
        young = code != 0 and (not dead.fetched or now - dead.born_at < YOUNG_SECONDS)
        self.young_deaths = self.young_deaths + 1 if young else 0
        pause = pause_seconds(self.young_deaths)
        if dead.fetched:
            # a job killed it, and one job kills only so often: the others shouldn't wait for that
            pause = min(pause, LONGEST_PAUSE_OF_SERVERS_SECONDS)
        self.fill_at = max(now + pause, dead.born_at + SHORTEST_LIFE_SECONDS)
        return dead


@dataclass(frozen=True, slots=True)
class Crew:
    """Children of one kind, whose number may change.

    Args:
        lives: one for each that there may be.
        size: how many there are at first, the first ones.
    """

    lives: Sequence[Life] = ()
    size: int = 0


def pause_seconds(young_deaths: int) -> float:
    """How long a place stays empty: not at all at first, then 0.5 s, 1 s, 2 s and so on up to half a minute."""
    return 0.0 if young_deaths < 2 else min(2.0 ** (young_deaths - 3), LONGEST_PAUSE_SECONDS)
