"""What a delivery may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from svcjobs.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """Limits of one attempt, and of what goes to one host. Each process that delivers has its own account of hosts.

    Args:
        total_seconds: from the look-up of the name to the answer's header, redirects included.
        connect_seconds: for a connection: look-up and handshake of TCP, and that of TLS.
        silence_seconds: for each piece that is sent or received.
        body_bytes: read of an answer's body, so that the connection can be used again. Of a longer body, or one that
            takes more than a second, the rest is left unread and the connection closed.
        redirects: followed, of status 307 and 308, which keep the method and the body. 0 follows none.
        per_host: deliveries at once to one scheme, host and port. More are given back for later.
        failures: in a row that open a host's circuit.

    Raises:
        ConfigurationError: a number is out of its range.
    """

    total_seconds: float = 10.0
    connect_seconds: float = 5.0
    silence_seconds: float = 10.0
    body_bytes: int = 65_536
    redirects: int = 0
    per_host: int = 10
    failures: int = 10

    def __post_init__(self) -> None:
        for name in ("total_seconds", "connect_seconds", "silence_seconds"):
            seconds = getattr(self, name)
            if not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name} is {seconds!r}: give a positive number of seconds")
        for name, least in (("body_bytes", 0), ("redirects", 0), ("per_host", 1), ("failures", 1)):
            number = getattr(self, name)
            if type(number) is not int or number < least:
                raise ConfigurationError(f"{name} is {number!r}: give a whole number from {least}")
