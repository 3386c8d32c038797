"""How receivers fare: so many deliveries at once to each, and none to one that fails all the time.

By host and not by URL, since it is the host that is slow or down. The account is this process's own: it needs no round
trip, and each process finds out by itself, within a few attempts.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from svcjobs.clock import Clock
from svcjobs.errors import Postponed, WebhookFailed
from svcjobs.webhooks.limits import DeliveryLimits

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 600.0
PATIENCE_SECONDS = 3600.0
"""Once a circuit has been open for so long, attempts are charged: a host that is gone keeps no job for ever."""
PROBE_SECONDS = 5.0
"""How long others wait at least while one delivery tries the host out."""
LONGEST_LINE_SECONDS = 60.0
SMOOTHING = 0.2


@dataclass(slots=True)
class _Host:
    running: int = 0
    failures: int = 0
    failing_since: float = 0.0
    closed_until: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    probing: bool = False
    mean_seconds: float = 1.0
    turn_at: float = 0.0


class Visit:
    """One delivery to a host. Unless :attr:`healthy` is set it says nothing of the host.

    Attributes:
        healthy: whether the host works, as this delivery has found.
    """

    __slots__ = ("began", "healthy", "probe")

    def __init__(self, began: float, *, probe: bool) -> None:
        self.began = began
        self.probe = probe
        self.healthy: bool | None = None


class Hosts:
    """The hosts that are being delivered to, or that have failed of late. Safe to use from any thread.

    Args:
        limits: how many deliveries at once, and how many failures open a circuit.
        clock: seconds, from anywhere.
        draw: an even number from 0 to 1, which keeps what was put back from coming all at once.
    """

    def __init__(
        self, limits: DeliveryLimits, clock: Clock = time.monotonic, draw: Callable[[], float] = random.random
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    @contextmanager
    def visit(self, name: str, what: str) -> Iterator[Visit]:
        """A delivery to a host, within the block.

        Args:
            name: of the host.
            what: is delivered, for errors.

        Raises:
            Postponed: as many deliveries as may run at once do, or the circuit is open.
            WebhookFailed: the circuit has been open for an hour.
        """
        with self._lock:
            visit = self._enter(self._hosts.setdefault(name, _Host()), what)
        try:
            yield visit
        finally:
            with self._lock:
                self._leave(name, visit)

    def _enter(self, host: _Host, what: str) -> Visit:
        now = self._clock()
        is_open = host.failures >= self._limits.failures
        if is_open and (host.probing or now < host.closed_until):
            raise self._refused(host, now, what)
        if not is_open and host.running >= self._limits.per_host:
            raise Postponed(self._turn(host, now), f"{what}: {host.running} deliveries to this host run already")
        host.running += 1
        host.probing = is_open
        return Visit(now, probe=is_open)

    def _refused(self, host: _Host, now: float, what: str) -> Exception:
        why = f"{what}: the last {host.failures} deliveries to this host failed"
        if now - host.failing_since > PATIENCE_SECONDS:
            return WebhookFailed(f"{why}, for {now - host.failing_since:.0f} s")
        seconds = max(host.closed_until - now, PROBE_SECONDS)
        return Postponed(seconds * (1 + self._draw() / 2), why)

    def _turn(self, host: _Host, now: float) -> float:
        """Seconds until a delivery that is put back now is likely to find a place: they come back one by one."""
        host.turn_at = max(now, host.turn_at) + host.mean_seconds / self._limits.per_host
        return min(max(host.turn_at - now, 0.1), LONGEST_LINE_SECONDS)

    def _leave(self, name: str, visit: Visit) -> None:
        host, now = self._hosts[name], self._clock()
        host.running -= 1
        host.mean_seconds += SMOOTHING * (now - visit.began - host.mean_seconds)
        if visit.probe:
            host.probing = False
        if visit.healthy:
            host.failures, host.pause_seconds = 0, FIRST_PAUSE_SECONDS
        elif visit.healthy is False:
            self._failed(host, now, visit)
        if not host.running and not host.failures and host.turn_at <= now:
            del self._hosts[name]

    def _failed(self, host: _Host, now: float, visit: Visit) -> None:
        if host.failures >= self._limits.failures and not visit.probe:
            return  # it began before the circuit was opened, and says nothing new
        if not host.failures:
            host.failing_since = now
        host.failures += 1
        if host.failures >= self._limits.failures:
            host.closed_until = now + host.pause_seconds
            host.pause_seconds = min(2 * host.pause_seconds, LONGEST_PAUSE_SECONDS)
