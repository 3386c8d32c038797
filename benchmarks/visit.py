"""One visit to a contender, in its own Python: ``python -m benchmarks.visit CONTENDER TASK NUMBER [OPTIONS]``.

Imports what is in every environment only. The last line of its output is the result as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from benchmarks.contenders import Payload, WorkedQueue, open_queue
from benchmarks.workload import PAYLOAD

WARM_JOBS = 10
"""Stored first, so that connections and scripts are there; not timed."""
JOB = dict(PAYLOAD)
PAUSE_SECONDS = (0.02, 0.05)


def timed(call: Callable[[Sequence[Payload]], None], payloads: Sequence[Payload]) -> dict[str, float]:
    """Seconds and CPU seconds of a call."""
    cpu, started = time.process_time(), time.perf_counter()
    call(payloads)
    return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}


def store(queue: Any, method: str, jobs: int, more: dict[str, Any]) -> dict[str, float]:
    """Call one of the contender's methods with so many jobs."""
    getattr(queue, method)([JOB] * WARM_JOBS)
    return timed(getattr(queue, method), [{**JOB, **more}] * jobs)


def number(queue: WorkedQueue, jobs: int) -> dict[str, float]:
    """Store jobs that can be told apart, and wait until they are let go."""
    return timed(queue.enqueue, [{**JOB, "number": number} for number in range(jobs)])


def trickle(queue: WorkedQueue, jobs: int) -> dict[str, float]:
    """Store single jobs, each when the worker has long been idle again, with the time of its storing."""

    def one_by_one(payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            time.sleep(random.uniform(*PAUSE_SECONDS))
            queue.enqueue([{**payload, "sent_at": time.monotonic_ns()}])

    queue.enqueue([JOB] * WARM_JOBS)
    return timed(one_by_one, [JOB] * jobs)


TASKS = MappingProxyType({"number": number, "trickle": trickle})


def main(words: Sequence[str]) -> None:
    """Do a task, or become the worker."""
    name, task, count, *more = words
    queue = open_queue(name)
    if task == "worker":
        os.execv(sys.executable, [sys.executable, "-m", *queue.worker(int(count))])
    if task in TASKS:
        result = TASKS[task](queue, int(count))
    else:
        result = store(queue, task, int(count), json.loads(more[0]) if more else {})
    print(json.dumps(result), flush=True)
    os._exit(0)  # no contender's threads or loops are waited for


if __name__ == "__main__":
    main(sys.argv[1:])
