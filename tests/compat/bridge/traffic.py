"""Sending to an old broker, running what was moved, and waiting for a bridge that drains."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from queue import Empty
from typing import Any, Self

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.transport.wire import decode
from tests.compat.bridge.brokers import OldBroker


def send(old: OldBroker, count: int, **options: Any) -> set[str]:
    """Send tasks; returns their ids."""
    app = old.app()
    with app.connection() as connection, app.amqp.Producer(connection) as producer:
        return {app.send_task("step", (n,), producer=producer, **options).id for n in range(count)}


def received(old: OldBroker) -> list[Any]:
    """All messages of the old broker, as kombu gets them; they are taken out."""
    found = []
    with old.connect() as connection:
        queue = connection.SimpleQueue(old.queue)
        try:
            while True:
                message = queue.get_nowait()  # a wait would end on a busy machine before the last message is here
                message.ack()
                found.append(message)
        except Empty:
            queue.close()
    return found


class Runs:
    """Reserves jobs and acks them at once, as a worker does, and counts each task id."""

    def __init__(self, queue: RedisJobQueue) -> None:
        self.ids: Counter[str] = Counter()
        self._queue = queue
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            for job in self._queue.reserve_many(100):
                self.ids[decode(job.payload)["headers"]["id"]] += 1
                self._queue.ack(job)
            self._queue.wait(0.1)


def drained(bridge: subprocess.Popen[str]) -> dict[str, Any]:
    """What a bridge counted, once it has ended well."""
    out, err = bridge.communicate(timeout=60)
    assert bridge.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document
