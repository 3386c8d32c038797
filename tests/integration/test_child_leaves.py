"""What a child has counted and traced is known after its end, also when that is its job's hard limit."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from svcjobs.queue import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.shop_fixtures import Process, Start, queue, start
from tests.notes import lines_of
from tests.servers import RedisServer

__all__ = ["queue", "start"]  # fixtures

# as programs have it: spans are kept, and exported together every minute
TRACED = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from svcjobs.registry import JobRegistry

class Notes(SpanExporter):
    def export(self, spans):
        with open("notes", "a") as notes:
            for span in spans:
                notes.write(json.dumps(span.attributes["messaging.message.id"]) + "\\n")
        return SpanExportResult.SUCCESS

trace.set_tracer_provider(provider := TracerProvider())
provider.add_span_processor(BatchSpanProcessor(Notes(), schedule_delay_millis=60_000))
registry = JobRegistry()

@registry.handler("quick")
def quick(job):
    pass

@registry.handler("spin")
def spin(job):
    while True:
        pass
"""


def traced(folder: Path) -> Sequence[str]:
    """The ids of the jobs whose spans were exported."""
    return sorted(json.loads(line) for line in lines_of(folder / "notes"))


@pytest.mark.parametrize("pool", ["async", "threads", "prefork", "solo"])
def test_a_child_exports_its_last_spans(
    pool: str, start: Start, tmp_path: Path, queue: RedisJobQueue, redis_server: RedisServer
) -> None:
    (tmp_path / "traced.py").write_text(TRACED)
    of_pool = ["-c", "1"] if pool != "solo" else []
    worker = start(redis_server.url, "worker", "-A", "traced", "-P", pool, *of_pool, "--max-jobs-per-child", "3")
    queue.enqueue_many([NewJob("quick", job_id=f"{number}") for number in range(8)])
    eventually(lambda: queue.stats().totals["acked"] == 8, message=worker.log)
    eventually(lambda: len(traced(tmp_path)) == 6, message=worker.log)  # of the two that were replaced
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert traced(tmp_path) == [f"{number}" for number in range(8)]


def counted(worker: Process, *names: str) -> list[float]:
    """The values of these metrics in one answer; none before there is a port."""
    port = re.search(r"localhost:(\d+)/metrics", worker.log)
    if port is None:
        return []
    with urllib.request.urlopen(f"http://localhost:{port[1]}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")) for name in names]


def test_at_a_hard_limit_what_a_child_did_is_counted_and_traced(
    start: Start, tmp_path: Path, queue: RedisJobQueue, redis_server: RedisServer
) -> None:
    (tmp_path / "traced.py").write_text(TRACED)
    limit = ["-P", "prefork", "-c", "1", "--time-limit", "1", "--metrics-port", "0"]
    worker = start(redis_server.url, "worker", "-A", "traced", *limit)
    for number in range(3):
        queue.enqueue("quick", job_id=f"q{number}")
        queue.enqueue("spin", max_attempts=1)
    eventually(lambda: queue.stats().dead == 3, message=worker.log)
    eventually(lambda: traced(tmp_path) == ["q0", "q1", "q2"], message=worker.log)
    # what a child tells of one job comes in several datagrams
    eventually(lambda: counted(worker, "jobs_processed_total", "jobs_failures_total") == [6, 3], message=worker.log)
