"""The HTTP endpoint that Prometheus asks, and several registries as one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from svcjobs.errors import ConfigurationError

logger = logging.getLogger(__name__)


def serve_registry(registry: CollectorRegistry, port: int, address: str) -> Endpoint:
    """Serve a registry and the default one at ``/metrics``.

    Raises:
        ConfigurationError: the port can't be had.
    """
    served = CollectorRegistry()
    served.register(Merged([registry, REGISTRY]))
    try:
        server, thread = start_http_server(port, address, registry=served)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"metrics can't be served on {address}:{port}: {error}") from error
    return Endpoint(server, thread)


class Endpoint:
    """A running HTTP endpoint.

    Attributes:
        port: where it listens.
    """

    def __init__(self, server: Any, thread: threading.Thread) -> None:
        self.port: int = server.server_port
        self._server = server
        self._thread = thread

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Merged(Collector):
    """Several registries as one. A name that two of them have becomes one metric with the samples of both.

    The text format allows a name once. Of two samples with the same labels, and of two metrics of different
    types, the one from the earlier registry stays.
    """

    def __init__(self, registries: list[CollectorRegistry]) -> None:
        self._registries = registries

    def collect(self) -> Iterable[Metric]:
        """All metrics, each name once."""
        merged: dict[str, Metric] = {}
        for family in self._families():
            name = family.name.removesuffix("_total")  # a counter is written with it, a gauge may be called so
            kept = merged.get(name)
            if kept is None:
                merged[name] = kept = Metric(family.name, family.documentation, family.type, family.unit)
            if kept.type == family.type:
                present = {(sample.name, *sorted(sample.labels.items())) for sample in kept.samples}
                kept.samples += [
                    sample for sample in family.samples if (sample.name, *sorted(sample.labels.items())) not in present
                ]
        return list(merged.values())

    def _families(self) -> Iterator[Metric]:
        for registry in self._registries:
            try:
                yield from registry.collect()
            except Exception as error:  # noqa: BLE001 - a collector of the application's must not hide ours
                logger.warning("A metrics collector failed, its registry's other metrics are left out: %s", error)
