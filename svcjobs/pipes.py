"""What connects supervisor, keeper and children: sockets and shared memory, which outlive each of the three."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from svcjobs.census import Census, ChildPipes, KeeperPipes
from svcjobs.errors import ConfigurationError
from svcjobs.reports import MOST_JOBS, datagram_pair
from svcjobs.running_table import RunningTables

Pair = tuple[socket.socket, socket.socket]


@dataclass(frozen=True, slots=True)
class Pipes:
    """All that connects a worker, held open by its supervisor, so that nothing sent to a dead process is lost.

    Args:
        reports: the keeper reads the first, children write the second.
        census: the end of keeper and children, and the supervisor's.
        lost: per slot the keeper's end, and the child's.
        running: what runs in each child.
    """

    reports: Pair
    census: Pair
    lost: Sequence[Pair]
    running: RunningTables

    @classmethod
    def open(cls, slots: int) -> Pipes:
        """New ones, with a slot for each child that may live at once.

        Raises:
            ConfigurationError: the system doesn't allow so many.
        """
        try:
            lost = [datagram_pair() for _ in range(slots)]
            return cls(datagram_pair(), datagram_pair(), lost, RunningTables.open(slots, MOST_JOBS))
        except OSError as error:
            raise ConfigurationError(
                f"the system doesn't allow what {slots // 2} processes need ({error.strerror}): raise the limit of "
                f"open files (ulimit -n) to {4 * slots + 100}, or start fewer"
            ) from error

    @classmethod
    def inherited(cls, numbers: Sequence[int]) -> Pipes:
        """Those that a program of this process had before it executed this one.

        Args:
            numbers: what its :meth:`bequeathed` returned.
        """
        *sockets, running = numbers
        os.set_inheritable(running, False)
        ends = [socket.socket(fileno=number) for number in sockets]
        for end in ends:
            end.set_inheritable(False)
        pairs = list(zip(ends[::2], ends[1::2], strict=True))
        return cls(pairs[0], pairs[1], pairs[2:], RunningTables(running, MOST_JOBS))

    def bequeathed(self) -> list[int]:
        """The file descriptors, kept open over an exec from now on."""
        ends = [end for pair in (self.reports, self.census, *self.lost) for end in pair]
        for end in ends:
            end.set_inheritable(True)
        os.set_inheritable(self.running.descriptor, True)
        return [*(end.fileno() for end in ends), self.running.descriptor]

    def of_child(self, slot: int) -> ChildPipes:
        """The ends of a child that starts now, in ``slot``."""
        return ChildPipes(self.reports[1], self.lost[slot][1], self.running.fresh(slot), self.census[0])

    def of_keeper(self, census: Census) -> KeeperPipes:
        """The ends of a keeper that this process is about to fork."""
        lost = {slot: pair[0] for slot, pair in enumerate(self.lost)}
        return KeeperPipes(self.reports[0], lost, self.census[0], self.running, census, os.getpid())

    def close(self) -> None:
        """Close all of them, here."""
        for pair in (self.reports, self.census, *self.lost):
            for end in pair:
                end.close()
        self.running.close()
