"""What the contenders with Celery's interface have in common: only the import and the broker differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.contenders import Payload
from benchmarks.jobs import server_url, work
from benchmarks.workload import JOB_NAME

RESULT_SECONDS = 120


def count(results: list[None]) -> int:
    """The body of the chord."""
    return len(results)


class CeleryCalls:
    """An application, its task, and what is done with it.

    Args:
        celery: the class ``Celery``.
        chord: the function ``chord`` from the same package.
        scheme: of the broker's URL.
        arguments: of its worker.
    """

    def __init__(
        self, celery: Callable[..., Any], chord: Callable[..., Any], scheme: str, arguments: Sequence[str]
    ) -> None:
        self.app = celery("benchmark", broker=server_url().replace("redis", scheme, 1), backend=server_url())
        self.app.conf.update(
            task_acks_late=True,
            task_reject_on_worker_lost=True,
            worker_prefetch_multiplier=128,
            broker_transport_options={"visibility_timeout": 5},
        )
        self.task = self.app.task(name=JOB_NAME, ignore_result=True)(work)
        self.kept = self.app.task(name=f"{JOB_NAME}_kept")(work)
        self.last = self.app.task(name="last")(count)
        self._chord = chord
        self._arguments = arguments

    def worker(self, number: int) -> Sequence[str]:
        return (*self._arguments, "-n", f"bench{number}@%h", "-l", "error")

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            self.task.delay(**payload)

    def enqueue_many(self, payloads: Sequence[Payload]) -> None:
        self._store_many(self.task, payloads)

    def enqueue_kept(self, payloads: Sequence[Payload]) -> None:
        self._store_many(self.kept, payloads)

    def call(self, payloads: Sequence[Payload]) -> None:
        results = [self.kept.delay(**payload) for payload in payloads]
        for result in results:
            result.get(timeout=RESULT_SECONDS)

    def chord(self, payloads: Sequence[Payload]) -> None:
        members = [self.kept.s(**payload) for payload in payloads]
        assert self._chord(members)(self.last.s()).get(timeout=RESULT_SECONDS) == len(payloads)

    def _store_many(self, task: Any, payloads: Sequence[Payload]) -> None:
        with self.app.producer_or_acquire() as producer, producer.batch(len(payloads)):
            for payload in payloads:
                task.apply_async(kwargs=payload, producer=producer)
