"""RQ: jobs in the worker's own process, as its documentation recommends for short ones; results aren't kept."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from rq import Queue, Retry

from benchmarks.contenders import Payload
from benchmarks.jobs import server_url, work
from benchmarks.workload import BULK_SIZE


class Rq:
    """A queue of RQ."""

    def __init__(self) -> None:
        self._queue = Queue("benchmark", connection=Redis.from_url(server_url()))

    def worker(self, number: int) -> Sequence[str]:
        return (
            "rq.cli", "worker", "-u", server_url(), "-w", "rq.worker.SimpleWorker", "-n", f"bench{number}", "-q",
            "--maintenance-interval", "5", "--worker-ttl", "10", "benchmark",
        )  # fmt: skip

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            self._queue.enqueue(work, kwargs=payload, result_ttl=0, retry=Retry(max=3))

    def enqueue_many(self, payloads: Sequence[Payload]) -> None:
        for start in range(0, len(payloads), BULK_SIZE):
            self._queue.enqueue_many(
                [
                    Queue.prepare_data(work, kwargs=payload, result_ttl=0, retry=Retry(max=3))
                    for payload in payloads[start : start + BULK_SIZE]
                ]
            )


CONTENDER = Rq()
