"""One contender at work in a process of its own: ``python -m benchmarks.child TASK CONTENDER URL NUMBER…``.

The last line of its output is the result as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import redis

from benchmarks.contender import Contender, open_contender
from benchmarks.measure import MICRO, Sample
from benchmarks.server import ServerMeter
from benchmarks.wire import watched_wire
from benchmarks.workload import IDLE, QUEUED, WORKLOADS

READY_LINE = "ready"


def count(contender: str, url: str, jobs: int) -> Sample:
    """The exact measures of each workload."""
    sample: Sample = {}
    with watched_wire() as wire, ServerMeter(url) as meter:
        subject = _warm(contender, url)
        for workload in WORKLOADS.values():
            if workload.filled:
                subject.enqueue_many(jobs)
            before, trips, sent = meter.read(), wire.round_trips, wire.commands
            workload.run(subject, jobs)
            change = meter.since(before)
            sample[workload.name] = {
                "commands": change.commands / jobs,
                "sent_commands": (wire.commands - sent) / jobs,
                "round_trips": (wire.round_trips - trips) / jobs,
                "bytes_to_server": change.bytes_in / jobs,
                "bytes_from_server": change.bytes_out / jobs,
            }
            _empty(url)
        subject.close()
    return sample


def clock(contender: str, url: str, single_jobs: int, bulk_jobs: int) -> Sample:
    """Rates and CPU times of each workload."""
    sample: Sample = {}
    with ServerMeter(url) as meter:
        subject = _warm(contender, url)
        for workload in WORKLOADS.values():
            jobs = bulk_jobs if workload.bulk else single_jobs
            if workload.filled:
                subject.enqueue_many(jobs)
            before, cpu, started = meter.read(), time.process_time(), time.perf_counter()
            workload.run(subject, jobs)
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            change = meter.since(before)
            sample[workload.name] = {
                "rate": jobs / seconds,
                "client_cpu": cpu / jobs * MICRO,
                "redis_cpu": change.cpu_seconds / jobs * MICRO,
            }
            _empty(url)
        subject.close()
    return sample


def weigh(contender: str, url: str, jobs: int) -> Sample:
    """Redis memory of a queued job, taken while no client of the contender is connected."""
    _warm(contender, url).close()
    with ServerMeter(url) as meter:
        before = meter.read_settled().memory
        subject = open_contender(contender, url)
        subject.enqueue_many(jobs)
        subject.close()
        memory = meter.read_settled().memory - before
    with redis.Redis.from_url(url) as client:
        keys = sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter(count=1000))
    return {QUEUED: {"memory": memory / jobs, "key_memory": keys / jobs}}


def consume(contender: str, url: str, idle_seconds: float, jobs: int) -> Sample:
    """A waiting consumer: what it sends while nothing comes, then how soon it starts single jobs."""
    with watched_wire() as wire, ServerMeter(url) as meter:
        subject = _warm(contender, url)
        subject.consume(lambda _payload: True, 0.1)
        before, sent, cpu, started = meter.read(), wire.commands, time.process_time(), time.perf_counter()
        subject.consume(lambda _payload: True, idle_seconds)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        commands, sent = meter.since(before).commands, wire.commands - sent
    print(READY_LINE, flush=True)
    delays: list[float] = []

    def note(payload: dict[str, Any]) -> bool:
        delays.append((time.monotonic_ns() - int(payload["sent_at"])) / MICRO)
        return len(delays) <= jobs

    subject.consume(note, 120)
    subject.close()
    del delays[0]  # the producer's first job, which connects
    delays.sort()
    return {
        IDLE: {
            "idle_commands": commands / seconds,
            "idle_sent_commands": sent / seconds,
            "idle_client_cpu": cpu / seconds * 1000,
            "pickup_p50": delays[len(delays) // 2],
            "pickup_p99": delays[int(len(delays) * 0.99)],
        }
    }


def produce(contender: str, url: str, jobs: int) -> Sample:
    """Send single jobs to a waiting consumer, each when it has long been idle again, with the time of their sending."""
    subject = open_contender(contender, url)
    subject.put({"sent_at": time.monotonic_ns()})  # connects and loads the script: not counted
    for _ in range(jobs):
        time.sleep(random.uniform(0.02, 0.05))
        subject.put({"sent_at": time.monotonic_ns()})
    subject.close()
    return {}


def _warm(contender: str, url: str) -> Contender:
    """Connected, scripts loaded, and the server empty again."""
    subject = open_contender(contender, url)
    for workload in WORKLOADS.values():
        if workload.filled:
            subject.enqueue_many(20)
        workload.run(subject, 20)
        _empty(url)
    return subject


def _empty(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()


TASKS: MappingProxyType[str, Callable[..., Sample]] = MappingProxyType(
    {"count": count, "clock": clock, "weigh": weigh, "consume": consume, "produce": produce}
)

if __name__ == "__main__":
    task, name, server_url, *numbers = sys.argv[1:]
    print(json.dumps(TASKS[task](name, server_url, *(json.loads(number) for number in numbers))))
