"""What becomes of the tasks that run in this process, written down in Redis for ``svcjobs migrate status``.

Workers of both kinds do it, by the signals that Celery documents. The transport starts it, which both have.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from functools import cache
from typing import Any

from svcjobs_celery_compat.migrate.routing.route import Side
from svcjobs_celery_compat.migrate.status.runs import Runs

logger = logging.getLogger(__name__)

EVERY_SECONDS = 2.0
_COUNTED = {"SUCCESS": "done", "FAILURE": "failed", "REJECTED": "failed", "RETRY": "retried"}


def serve() -> None:
    """Record from now on, if tasks run in this process."""
    for package, side in (("celery", Side.CELERY), ("svcjobs_celery_compat", Side.SVCJOBS)):
        signals = sys.modules.get(f"{package}.signals")
        # under the name of celery there may be our own, which is looked at under its own name
        if signals is not None and signals.__name__ == f"{package}.signals" and f"{package}.worker" in sys.modules:
            _start(side)


@cache
def _start(side: Side) -> None:
    signals: Any = sys.modules["celery.signals" if side is Side.CELERY else "svcjobs_celery_compat.signals"]
    recorder = Recorder(side)
    signals.task_postrun.connect(recorder.note, weak=False, dispatch_uid="svcjobs-runs")
    for signal in (signals.worker_process_shutdown, signals.worker_shutdown):
        signal.connect(recorder.write, weak=False, dispatch_uid="svcjobs-runs")


class Recorder:
    """Counts runs, and writes the counts two seconds after the first of them.

    Args:
        side: which kind of worker this process belongs to.
    """

    def __init__(self, side: Side) -> None:
        self._side = side
        self._lock = threading.Lock()
        self._app: Any = None
        self._timer: threading.Timer | None = None
        self._forget()

    def note(self, sender: Any = None, state: str | None = None, **_: Any) -> None:
        """A task ended; the signal ``task_postrun``."""
        request = sender.request
        if request.is_eager or request.called_directly:
            return
        with self._lock:
            self._app = sender.app
            self._counts[sender.name, _COUNTED.get(state or "", "other")] += 1
            self._last[sender.name] = request.hostname, request.delivery_info
            if self._timer is None:
                self._timer = threading.Timer(EVERY_SECONDS, self.write)
                self._timer.daemon = True
                self._timer.start()

    def write(self, *_: Any, **__: Any) -> None:
        """Write what was counted. What can't be written is lost: it informs, and nothing depends on it."""
        with self._lock:
            app, counts, last = self._app, self._counts, self._last
            self._forget()
        if not counts:
            return
        try:
            with app.connection_for_write() as connection:
                channel = connection.default_channel
                if getattr(channel, "client", None) is not None:  # messages of memory:// are in no Redis
                    places = {task: (host, (sent or {}).get("routing_key")) for task, (host, sent) in last.items()}
                    Runs(channel.client, channel.options.root).add(self._side, counts, places)
        except Exception as error:  # noqa: BLE001 - of a broker that may be gone, in a thread that nobody waits for
            logger.debug("runs weren't written down: %r", error)

    def _forget(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, tuple[str | None, Any]] = {}  # hostname and delivery
        self._timer = None
