"""What settlements carry with them, in memory. The caller holds the lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svcjobs.effects import Count, Effect, Follow, SetResult, check_effect
from svcjobs.job import encode_payload
from svcjobs.memory_server import MemoryServer
from svcjobs.memory_storing import Defaults
from svcjobs.settlement import Release, Settlement


@dataclass(frozen=True, slots=True)
class MemoryEffects:
    """Those of one queue object.

    Args:
        server: where they take effect.
        home: name of the queue.
        defaults: of the jobs that follow.
        max_payload_bytes: of those jobs.
    """

    server: MemoryServer
    home: str
    defaults: Defaults
    max_payload_bytes: int

    def check(self, settlements: Sequence[Settlement], now: float) -> None:
        """Refuse a batch whose effects can't be carried out, before any of it is settled."""
        for settlement in settlements:
            for effect in () if isinstance(settlement, Release) else settlement.effects:
                check_effect(effect)
                if isinstance(effect, Follow):
                    encode_payload(effect.job.payload, self.max_payload_bytes)
                    self.server.store(effect.queue or self.home).refuse_dead(effect.job)
                elif isinstance(effect, Count):
                    self.server.check_count(effect, now)

    def carry_out(self, settlement: Settlement, now: float) -> None:
        """Do what comes with a settlement that counted."""
        for effect in () if isinstance(settlement, Release) else settlement.effects:
            self._carry_out(effect, now)

    def _carry_out(self, effect: Effect, now: float) -> None:
        match effect:
            case SetResult():
                self.server.set_result(effect, now)
            case Count():
                self.server.count(effect, now)
            case Follow(job=job, queue=queue):
                self.defaults.store(self.server.store(queue or self.home), job, encode_payload(job.payload), now)
