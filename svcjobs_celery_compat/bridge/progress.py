"""What the bridge has done so far: on the screen, in metrics and at the end."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.live import Live

from svcjobs.cli.output import console, table
from svcjobs.metrics import BridgeMetrics

logger = logging.getLogger(__name__)

DRAWN_EVERY_SECONDS = 0.5


class Progress:
    """Counts of one run. On a terminal a table of them is drawn, while it is open as a context.

    Args:
        names: of the queues.
        metrics: get the same counts.
        is_drawn: whether anybody watches.
    """

    def __init__(self, names: Sequence[str], metrics: BridgeMetrics, *, is_drawn: bool) -> None:
        self._names = names
        self._metrics = metrics
        self._counts: Counter[tuple[str, str]] = Counter()
        self._waiting: Mapping[str, int] = {}
        self._reconnects: Counter[str] = Counter()
        self._note = ""
        self._live = Live(console=console(), auto_refresh=False) if is_drawn and console().is_terminal else None
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._draw()
        if self._live:
            self._live.stop()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look how much waits."""
        return time.monotonic() >= self._drawn_at + DRAWN_EVERY_SECONDS

    def count(self, queue: str, outcome: str, *, is_delayed: bool = False) -> None:
        """A message was ``moved``, or was ``known`` already."""
        self._counts[queue, outcome] += 1
        self._counts[queue, "delayed"] += is_delayed
        self._metrics.messages.labels(queue, outcome).inc()

    def see(self, waiting: Mapping[str, int], note: str = "") -> None:
        """So much waits in each queue; ``note`` says what the bridge waits for."""
        if note and note != self._note:
            logger.info("%s", note)
        self._waiting, self._note = waiting, note
        for name, number in waiting.items():
            self._metrics.waiting.labels(name).set(number)
        self._draw()

    def lost(self, side: str) -> None:
        """The connection to ``broker`` or to ``svcjobs`` failed."""
        self._reconnects[side] += 1
        self._metrics.reconnects.labels(side).inc()

    def document(self) -> dict[str, Any]:
        """All counts, for programs."""
        queues = [
            {"queue": name, **{kind: self._counts[name, kind] for kind in ("moved", "delayed", "known")}}
            | {"waiting": self._waiting.get(name)}
            for name in self._names
        ]
        return {"queues": queues, "reconnects": {side: self._reconnects[side] for side in ("broker", "svcjobs")}}

    def sentence(self) -> str:
        """All counts, for people."""
        moved, known = (sum(self._counts[name, kind] for name in self._names) for kind in ("moved", "known"))
        return f"moved {moved} messages" + (f"; {known} were stored before" if known else "")

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        if not self._live:
            return
        numbers = ("Moved", "Delayed", "Known", "Waiting")
        made = table("Queue", *numbers, numbers=numbers)
        for one in self.document()["queues"]:
            made.add_row(*(str(one[key]) for key in ("queue", "moved", "delayed", "known", "waiting")))
        made.caption = self._note
        self._live.update(made, refresh=True)
