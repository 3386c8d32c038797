"""Huey: it has no call for many jobs."""

from __future__ import annotations

from collections.abc import Sequence

from huey import RedisHuey

from benchmarks.contenders import Payload
from benchmarks.jobs import server_url, work

huey = RedisHuey("benchmark", url=server_url(), results=False)
task = huey.task()(work)


class Huey:
    """A task of Huey."""

    def worker(self, number: int) -> Sequence[str]:
        return ("huey.bin.huey_consumer", f"{__name__}.huey", "--workers", "1", "--no-periodic", "--quiet")

    def enqueue(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            task(**payload)

    enqueue_many = enqueue


CONTENDER = Huey()
