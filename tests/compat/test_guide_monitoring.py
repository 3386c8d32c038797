"""The guide's section "Monitoring": metrics of one's own beside ours, which have some of the same names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from svcjobs.metrics import Metrics
from svcjobs.queue import InMemoryJobQueue
from tests.compat.program import run
from tests.server_program import ROOT

# The application's metrics have the guide's names and labels, on the default registry.
THEIRS = """
from prometheus_client import Counter, Gauge, Histogram

processed = Counter("jobs_processed_total", "Jobs done", ["name", "status"])
duration = Histogram("job_duration_seconds", "Run time", ["name"])
dead = Gauge("jobs_dlq_size", "Dead jobs")


async def instrumented(job):
    with duration.labels(name=job.name).time():
        try:
            if job.payload["fails"]:
                raise RuntimeError("as told")
            processed.labels(name=job.name, status="success").inc()
        except Exception:
            processed.labels(name=job.name, status="failure").inc()
            raise
"""
OURS = """
from svcjobs.metrics import Metrics
from svcjobs.registry import JobRegistry

registry = JobRegistry()
metrics = Metrics()
registry.metrics
"""
USE = """
import asyncio
import json
import urllib.request

from svcjobs.queue import InMemoryJobQueue
from svcjobs.runner import WorkerRunner


async def main():
    queue = InMemoryJobQueue()
    runner = WorkerRunner(queue, instrumented, metrics=metrics)
    runner.start()
    queue.enqueue("work", {"fails": False})
    queue.enqueue("work", {"fails": True}, max_attempts=1)
    while queue.stats().dead == 0 or queue.stats().ready + queue.stats().in_flight:
        await asyncio.sleep(0.01)
    await runner.stop()
    dead.set(queue.stats().dead)
    endpoint = metrics.serve(0, "127.0.0.1")
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics").read().decode()
    finally:
        endpoint.close()
    print(json.dumps([line for line in page.splitlines() if not line.startswith("#") and "_created" not in line]))


asyncio.run(main())
"""


@pytest.mark.parametrize("parts", [(THEIRS, OURS), (OURS, THEIRS)], ids=["theirs-first", "ours-first"])
def test_metrics_of_ones_own_with_the_same_names_stand_beside_ours(tmp_path: Path, parts: tuple[str, str]) -> None:
    script = tmp_path / "program.py"
    script.write_text("".join(parts) + USE)
    done = run([sys.executable, "-W", "error", str(script)], tmp_path, {})
    assert done.returncode == 0, done.stderr
    lines = set(json.loads(done.stdout))
    assert {
        'jobs_processed_total{name="work",status="success"} 1.0',
        'jobs_processed_total{name="work",status="failure"} 1.0',
        'job_duration_seconds_count{name="work"} 2.0',
        "jobs_dlq_size 1.0",
    } <= lines
    assert {
        'jobs_processed_total{job_name="work",status="success"} 1.0',
        'jobs_processed_total{job_name="work",status="failure"} 1.0',
        'jobs_failures_total{error_type="RuntimeError",job_name="work"} 1.0',
        'jobs_duration_seconds_count{job_name="work"} 2.0',
        'jobs_dlq_size{queue="jobs"} 1.0',
    } <= lines


def test_the_alert_on_dead_jobs_is_there_and_its_metric_exists(tmp_path: Path) -> None:
    rules = yaml.safe_load((ROOT / "docs" / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
    alert = next(rule for rule in rules if rule["alert"] == "HighDLQSize")
    assert "jobs_dlq_size" in alert["expr"]
    assert alert["expr"].endswith("> 100")
    assert (alert["for"], alert["labels"]["severity"]) == ("5m", "warning")

    metrics, queue = Metrics(), InMemoryJobQueue()
    metrics.watch(queue)
    queue.enqueue("work", {})
    queue.bury(queue.reserve_next() or "", reason="test")
    assert metrics.registry.get_sample_value("jobs_dlq_size", {"queue": "jobs"}) == 1
