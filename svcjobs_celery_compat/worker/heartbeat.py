"""The events that tell that a worker is there."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat import signals
from svcjobs_celery_compat.utils.sysinfo import load_average
from svcjobs_celery_compat.worker.state import SOFTWARE_INFO, active_requests, all_total_count

__all__ = ("Heart",)


class Heart:
    """Sends ``worker-online``, then ``worker-heartbeat`` again and again, and ``worker-offline`` at the end.

    Args:
        timer: calls it.
        eventer: sends the events.
        interval: seconds between two heartbeats; 2 by default.
        controller: the worker, who knows how many tasks run and ran; this process is asked without.
    """

    def __init__(self, timer: Any, eventer: Any, interval: float | None = None, controller: Any = None) -> None:
        self.timer = timer
        self.eventer = eventer
        self.interval = float(interval or 2.0)
        self.controller = controller
        self.tref: Any = None
        # events can be switched on and off later
        self.eventer.on_enabled.add(self.start)
        self.eventer.on_disabled.add(self.stop)
        self._send_sent_signal = signals.heartbeat_sent.send

    def _send(self, event: str, retry: bool = True) -> Any:
        active, processed = len(active_requests), all_total_count[0]
        if self.controller is not None:
            active, processed = self.controller.counts()
        if signals.heartbeat_sent.receivers:
            self._send_sent_signal(sender=self)
        return self.eventer.send(
            event, freq=self.interval, active=active, processed=processed, loadavg=load_average(), retry=retry,
            **SOFTWARE_INFO,
        )  # fmt: skip

    def start(self) -> None:
        """Begin."""
        if self.eventer.enabled and self.tref is None:
            self._send("worker-online")
            self.tref = self.timer.call_repeatedly(self.interval, self._send, ("worker-heartbeat",))

    def stop(self) -> None:
        """End."""
        if self.tref is not None:
            self.timer.cancel(self.tref)
            self.tref = None
        if self.eventer.enabled:
            self._send("worker-offline", retry=False)
