"""What the programs count that move messages from elsewhere into queues."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from svcjobs.metrics.endpoint import Endpoint, serve_registry


class BridgeMetrics:
    """What ``svcjobs bridge`` counts; the outcome is ``moved`` or ``known``, the side ``broker`` or ``svcjobs``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        with_registry: Any = {"registry": self.registry}
        self.messages = Counter("jobs_bridge_messages", "Messages dealt with", ["queue", "outcome"], **with_registry)
        self.waiting = Gauge("jobs_bridge_waiting", "Messages that wait", ["queue"], **with_registry)
        self.reconnects = Counter("jobs_bridge_reconnects", "Connections that failed", ["side"], **with_registry)

    def serve(self, port: int, address: str = "0.0.0.0") -> Endpoint:  # noqa: S104 - as exporters do
        """As :meth:`svcjobs.metrics.Metrics.serve`."""
        return serve_registry(self.registry, port, address)


class OutboxMetrics:
    """What ``svcjobs outbox relay`` counts: outcomes ``moved`` and ``refused``, sides ``database`` and ``queue``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        with_registry: Any = {"registry": self.registry}
        self.messages = Counter("jobs_outbox_messages", "Messages dealt with", ["outcome"], **with_registry)
        self.pending = Gauge("jobs_outbox_pending", "Messages that aren't moved yet", **with_registry)
        self.oldest = Gauge("jobs_outbox_oldest_age_seconds", "Age of the oldest of them", **with_registry)
        self.failures = Counter("jobs_outbox_failures", "Passes that failed", ["side"], **with_registry)

    def serve(self, port: int, address: str = "0.0.0.0") -> Endpoint:  # noqa: S104 - as exporters do
        """As :meth:`svcjobs.metrics.Metrics.serve`."""
        return serve_registry(self.registry, port, address)
