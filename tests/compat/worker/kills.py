"""Kill processes of a worker, as it tells of them itself."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually


def kill_processes(program: Any, worker: Worker, times: int) -> None:
    """Kill so many processes, one by one; each is told of by ``inspect stats``, where a dead one may linger."""
    inspect = program.app.control.inspect(timeout=2, destination=[worker.name])
    killed: set[int] = set()

    def one_that_lives() -> int | None:
        stats = (inspect.stats() or {}).get(worker.name, {})
        return next((pid for pid in stats.get("pool", {}).get("processes", ()) if pid not in killed), None)

    for _ in range(times):
        pid = eventually(one_that_lives)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
