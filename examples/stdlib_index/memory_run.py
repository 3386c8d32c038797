"""The demo in one process, on the embedded driver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from examples.stdlib_index.app import make_registry
from examples.stdlib_index.bar import JobBar, is_idle
from examples.stdlib_index.index import MemoryIndex
from examples.stdlib_index.outcome import Outcome
from svcjobs import NewJob, WorkerRunner, easy_jobs
from svcjobs.loader import schedule_from_entries


async def run_in_memory(work: Sequence[NewJob]) -> Outcome:
    """Run ``work`` to its end."""
    queue, scheduler = easy_jobs(driver="memory")
    index = MemoryIndex()
    registry = make_registry(index)
    schedule_from_entries(scheduler, registry.schedule, queue=queue)
    queue.enqueue_many(work)
    runner = WorkerRunner(queue, registry, concurrency=4)
    runner.start()
    ticking = asyncio.create_task(scheduler.run())
    with JobBar() as bar:
        while not is_idle(stats := queue.stats()):
            bar.show(stats)
            await asyncio.sleep(0.1)
        bar.show(stats)
    scheduler.stop()
    await ticking
    await runner.stop()
    return Outcome.read(index, queue)
