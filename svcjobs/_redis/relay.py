"""Effects of settlements that belong to another slot of a cluster wait beside the job until they are carried there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from svcjobs._redis import calls
from svcjobs._redis.calls import Program
from svcjobs._redis.codec import decode_relay
from svcjobs._redis.names import same_slot
from svcjobs.errors import JobsError, QueueFull, QueueUnavailable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
"""After a relay found a node away, other calls don't try again so long."""


class Relay:
    """Carries the effects of one queue.

    Args:
        prefix: of the queue.
        now: the tests' time as the scripts take it.
    """

    def __init__(self, prefix: str, now: Callable[[], str]) -> None:
        self._prefix = prefix
        self._now = now
        self._again_at = 0.0

    def effects(self) -> Program[int]:
        """Carry out effects that belong to other slots, oldest first; each once, even when two relays run.

        One that is refused for good is kept in ``{prefix}:effects:refused``, so that it holds up no other.
        """
        done = 0
        while True:
            blobs = yield calls.waiting_effects(self._prefix, calls.EFFECTS_AT_ONCE)
            carried: list[bytes] = []
            away: JobsError | None = None
            for blob in blobs:
                try:
                    effect_id, effect = decode_relay(blob)
                    key = effect[1].decode()
                    yield calls.relay(key, self._now(), f"{same_slot(key)}:relayed:{effect_id}", effect)
                except (QueueUnavailable, QueueFull) as error:
                    away = error
                    break
                except (JobsError, ValueError, TypeError, IndexError) as error:
                    logger.error("an effect of queue %s can't be carried out: %s", self._prefix, error)
                    yield calls.forget_effect(self._prefix, [blob], refused=True)
                else:
                    carried.append(blob)
            if carried:
                done += yield calls.forget_effect(self._prefix, carried)
            if away:
                raise away
            if len(blobs) < calls.EFFECTS_AT_ONCE:
                return done

    def by_the_way(self) -> Program[None]:
        """Relay after another call, whose result counts whatever comes of this; the effects wait where they are."""
        if time.monotonic() < self._again_at:
            return
        try:
            yield from self.effects()
        except JobsError as error:
            self._again_at = time.monotonic() + PAUSE_SECONDS
            logger.warning("effects of queue %s wait for another node: %s", self._prefix, error)
