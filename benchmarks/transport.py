"""Publishing and consuming through kombu: svcjobs:// beside kombu's own Redis transport, on one server, in turns.

Run: ``python -m benchmarks.transport [--messages 400] [--rounds 41]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import kombu

import svcjobs_celery_compat.transport  # noqa: F401  # makes svcjobs:// known
from tests.servers import RedisServer

QUEUE = kombu.Queue("bench", routing_key="bench")
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {
    "lang": "py", "task": "proj.tasks.add", "id": "8d5f9c3e-6f0b-4d6e-9c0e-3a7f5b2d1c4a", "shadow": None, "eta": None,
    "expires": None, "group": None, "group_index": None, "retries": 0, "timelimit": [None, None],
    "root_id": "8d5f9c3e-6f0b-4d6e-9c0e-3a7f5b2d1c4a", "parent_id": None, "argsrepr": "(1, 2)", "kwargsrepr": "{}",
    "origin": "gen1@here", "ignore_result": False, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
}  # fmt: skip
BODY = json.dumps(([1, 2], {}, EMBED))


def publish(connection: kombu.Connection, messages: int) -> None:
    """Send task messages as Celery does."""
    producer = connection.Producer()
    for _ in range(messages):
        producer.publish(
            BODY, routing_key="bench", headers=dict(HEADERS), content_type="application/json", content_encoding="utf-8"
        )


def consume(connection: kombu.Connection, messages: int) -> None:
    """Get and ack them, in one process."""
    done = 0

    def on_message(message: Any) -> None:
        nonlocal done
        message.payload  # noqa: B018  # it is decoded
        message.ack()
        done += 1

    with connection.Consumer(QUEUE, on_message=on_message, prefetch_count=100):
        while done < messages:
            connection.drain_events(timeout=10)


def measure(url: str, messages: int) -> dict[str, float]:
    """Microseconds of client CPU a message, and messages a second, of both."""
    figures = {}
    with kombu.Connection(url) as connection:
        QUEUE(connection.default_channel).declare()
        for name, step in (("publish", publish), ("consume + ack", consume)):
            began, cpu = time.perf_counter(), time.process_time()
            step(connection, messages)
            figures[f"{name}, CPU us"] = (time.process_time() - cpu) / messages * 1e6
            figures[f"{name}, per s"] = messages / (time.perf_counter() - began)
    return figures


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=41)
    arguments = parser.parse_args()
    with RedisServer() as server:
        urls = {"svcjobs://": f"svcjobs://127.0.0.1:{server.port}/0", "redis://": server.url}
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
        for url in urls.values():
            measure(url, 100)
        for _ in range(arguments.rounds):
            for name, url in urls.items():
                rounds[name].append(measure(url, arguments.messages))
    print(f"| median of {arguments.rounds} | {' | '.join(urls)} |\n|---|---|---|")
    for figure in rounds["redis://"][0]:
        values = (statistics.median(found[figure] for found in rounds[name]) for name in urls)
        print(f"| {figure} | {' | '.join(f'{value:,.0f}' for value in values)} |")


if __name__ == "__main__":
    main()
