"""What is known of a worker."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

HEARTBEAT_EXPIRE_WINDOW = 200
"""A worker counts as dead when its heartbeat is older than this percentage of its interval."""
HEARTBEAT_DRIFT_MAX = 16
"""Seconds between the clocks of a worker and of the monitor; more is worth a warning."""
DRIFT_WARNING = (
    "Substantial drift from %s may mean clocks are out of sync.  Current drift is %s seconds.  [orig: %s recv: %s]"
)


def heartbeat_expires(
    timestamp: float | Decimal, freq: float | Decimal = 60, expire_window: float = HEARTBEAT_EXPIRE_WINDOW
) -> float:
    """When a worker counts as dead, whose heartbeat came at ``timestamp`` and comes every ``freq`` seconds."""
    return float(timestamp) + float(freq) * expire_window / 100


class Worker:
    """A worker, as its events tell.

    Args:
        hostname: its name.
        pid: of its process.
        freq: seconds between heartbeats.
        heartbeats: when the latest were received, oldest first.
        clock: its logical clock.
        active: tasks that it runs.
        processed: tasks that it ran.
        loadavg: of its machine: three numbers.
        sw_ident: the software.
        sw_ver: its version.
        sw_sys: the operating system.
    """

    heartbeat_max = 4
    expire_window = HEARTBEAT_EXPIRE_WINDOW
    nowfun: Callable[[], float] = staticmethod(time.time)
    _fields: ClassVar[tuple[str, ...]] = (
        "hostname", "pid", "freq", "heartbeats", "clock", "active", "processed", "loadavg", "sw_ident", "sw_ver",
        "sw_sys",
    )  # fmt: skip

    def __init__(
        self,
        hostname: str | None = None,
        pid: int | None = None,
        freq: float = 60,
        heartbeats: list[float] | None = None,
        clock: int = 0,
        active: int | None = None,
        processed: int | None = None,
        loadavg: Any = None,
        sw_ident: str | None = None,
        sw_ver: str | None = None,
        sw_sys: str | None = None,
    ) -> None:
        self.hostname = hostname
        self.pid = pid
        self.freq = freq
        self.heartbeats = [] if heartbeats is None else heartbeats
        self.clock = clock or 0
        self.active = active
        self.processed = processed
        self.loadavg = loadavg
        self.sw_ident = sw_ident
        self.sw_ver = sw_ver
        self.sw_sys = sw_sys

    def event(
        self,
        type_: str | None = None,
        timestamp: float | Decimal | None = None,
        local_received: float | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Take note of an event: its fields, and that the worker lives, or went."""
        self.update(fields or {})
        if type_ == "offline":
            self.heartbeats[:] = []
            return
        if not local_received or not timestamp:
            return
        drift = abs(int(local_received) - int(timestamp))
        if drift > HEARTBEAT_DRIFT_MAX:
            _warn_drift(self.hostname, drift, local_received, timestamp)
        insort(self.heartbeats, local_received)
        del self.heartbeats[: -self.heartbeat_max]

    def update(self, f: dict[str, Any], **kw: Any) -> None:
        """Set attributes."""
        for name, value in {**f, **kw}.items():
            setattr(self, name, value)

    @property
    def heartbeat_expires(self) -> float:
        """When it counts as dead, unless another heartbeat comes."""
        return heartbeat_expires(self.heartbeats[-1], self.freq, self.expire_window)

    @property
    def alive(self) -> bool:
        """Whether its last heartbeat is young enough."""
        return bool(self.heartbeats) and self.nowfun() < self.heartbeat_expires

    @property
    def status_string(self) -> str:
        """``ONLINE`` or ``OFFLINE``."""
        return "ONLINE" if self.alive else "OFFLINE"

    @property
    def id(self) -> str:
        """Name and process."""
        return f"{self.hostname}.{self.pid}"

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname} ({self.status_string} clock:{self.clock})>"

    def __eq__(self, other: object) -> bool:
        return self.hostname == other.hostname if isinstance(other, Worker) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hostname)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, tuple(getattr(self, name) for name in self._fields)


def _warn_drift(hostname: str | None, drift: int, local_received: float, timestamp: float | Decimal) -> None:
    from svcjobs_celery_compat.events import state  # its `warn` is where users and tests look for it

    state.warn(
        DRIFT_WARNING,
        hostname,
        drift,
        datetime.fromtimestamp(float(local_received)),  # for the log, in local time
        datetime.fromtimestamp(float(timestamp)),
    )
