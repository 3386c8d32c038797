"""What a child has counted since its start, for the keeper to sum up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

Sample = tuple[str, dict[str, str], float]
"""Name, labels and value."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Samples of one metric of one child: the totals up to now, not their changes. A big metric takes several.

    Args:
        pid: the child.
        metric: its name without a suffix.
        kind: ``counter`` or ``histogram``.
        text: what it counts.
        samples: of all names and labels, or of some.
    """

    pid: int
    metric: str
    kind: str
    text: str
    samples: Sequence[Sample]

    @staticmethod
    def is_one(datagram: bytes) -> bool:
        """Whether the datagram is a tally, and no report."""
        return datagram.startswith(b"{")

    def encode(self) -> bytes:
        """The datagram."""
        return json.dumps({"tally": [self.pid, self.metric, self.kind, self.text, list(self.samples)]}).encode()

    @classmethod
    def decode(cls, datagram: bytes) -> Tally:
        """The tally that :meth:`encode` wrote."""
        pid, metric, kind, text, samples = json.loads(datagram)["tally"]
        return cls(pid, metric, kind, text, [(name, labels, float(value)) for name, labels, value in samples])
