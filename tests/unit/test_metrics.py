"""What is counted, what a scrape returns, and that metrics which are off cost nothing."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from svcjobs import metrics as metrics_module
from svcjobs.errors import ConfigurationError, QueueUnavailable
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.metrics import Metrics
from svcjobs.metrics import endpoint as endpoint_module
from svcjobs.redis_queue import AsyncRedisJobQueue
from svcjobs.registry import JobRegistry, JobResult
from svcjobs.runner import WorkerRunner
from svcjobs.settlement import Ack
from svcjobs.stats import QueueStats
from tests.eventually import eventually_async

ALERTS = Path(__file__).parents[2] / "docs" / "prometheus-alerts.yml"

GUIDE_SNIPPET = """
from prometheus_client import Counter, Histogram, Gauge
jobs_processed = Counter("jobs_processed_total", "Total jobs processed", ["name", "status"])
job_duration = Histogram("job_duration_seconds", "Job processing duration", ["name"])
dlq_size = Gauge("jobs_dlq_size", "Number of jobs in dead letter queue")
jobs_processed.labels(name="theirs", status="success").inc()
dlq_size.set(41)
"""


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def scrape(port: int) -> dict[str, Any]:
    """The metric families by name; a name that comes twice is an error, as it is to Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(family: Any, name: str) -> list[tuple[dict[str, str], float]]:
    return [(sample.labels, sample.value) for sample in family.samples if sample.name == name]


async def test_dispatch_counts_and_times_once_the_metrics_are_used() -> None:
    registry = JobRegistry(metric_prefix="shop_jobs")
    registry.register("good", lambda job: JobResult(True, "ok"))
    registry.register("poor", lambda job: JobResult(False, "no"))

    @registry.handler("bad")
    async def bad(job: Job) -> None:
        raise ValueError("no")

    @registry.handler("slow")
    async def slow(job: Job) -> None:
        await asyncio.sleep(60)

    await registry.dispatch(Job(id="0", name="good", payload={}))
    metrics = registry.metrics
    assert registry.metrics is metrics
    for name in ("good", "good", "poor"):
        await registry.dispatch(Job(id="1", name=name, payload={}))
    began = time.monotonic()
    for name in ("bad", "slow", "never heard of"):
        with pytest.raises(Exception):  # noqa: B017 - which one is the registry's test
            await registry.dispatch(Job(id="1", name=name, payload={}), timeout=0.01)
    seconds = time.monotonic() - began

    assert value(metrics, "shop_jobs_processed_total", job_name="good", status="success") == 2
    for name, error in [
        ("poor", "JobResult"), ("bad", "ValueError"), ("slow", "JobTimeoutError"), ("(unknown)", "UnknownJobError"),
    ]:  # fmt: skip
        assert value(metrics, "shop_jobs_processed_total", job_name=name, status="failure") == 1
        assert value(metrics, "shop_jobs_failures_total", job_name=name, error_type=error) == 1
    assert value(metrics, "shop_jobs_duration_seconds_count", job_name="good") == 2
    assert 0.005 < (value(metrics, "shop_jobs_duration_seconds_sum", job_name="slow") or 0) <= seconds


async def test_a_runner_counts_each_job_once_with_any_handler() -> None:
    queue = InMemoryJobQueue()
    metrics = Metrics()
    registry = JobRegistry()
    registry.register("good", lambda job: None)
    queue.enqueue("good", {})
    queue.enqueue("strange", {})
    runner = WorkerRunner(queue, registry, metrics=metrics)
    runner.start()
    await eventually_async(lambda: queue.stats().delayed == 1)
    await runner.stop()
    assert value(metrics, "jobs_processed_total", job_name="good", status="success") == 1
    assert value(metrics, "jobs_processed_total", job_name="(unknown)", status="failure") == 1
    assert value(metrics, "jobs_wait_seconds_count", queue="jobs") == 2
    assert value(metrics, "jobs_delayed", queue="jobs") == 1


def test_the_wait_is_the_time_since_a_job_was_due() -> None:
    metrics = Metrics()
    now = datetime.now(UTC)
    metrics.observe_wait(Job(id="1", name="a", payload={}, available_at=now - timedelta(seconds=50)))
    metrics.observe_wait(Job(id="2", name="a", payload={}, available_at=now + timedelta(seconds=50)))
    assert value(metrics, "jobs_wait_seconds_sum", queue="jobs") == pytest.approx(50, abs=1)
    assert value(metrics, "jobs_wait_seconds_bucket", queue="jobs", le="60.0") == 2


def test_a_queue_is_read_when_it_is_scraped() -> None:
    queue = InMemoryJobQueue(name="emails", visibility_timeout=1000)
    metrics = Metrics()
    metrics.watch(queue, ["cleanup", "never ticked"])
    for delay in (0, 0, 0, 60):
        queue.enqueue("mail", {}, delay_seconds=delay)
    stale = queue.reserve_next()
    queue.bury("1", reason="no")
    assert stale is not None
    queue.settle_many([Ack(stale)])
    queue.reserve_next()
    queue.pause()
    queue.claim_tick("cleanup", datetime.now(UTC).timestamp() - 30)

    expected = {
        "jobs_queue_up": 1, "jobs_queue_depth": 1, "jobs_delayed": 1, "jobs_in_flight": 1, "jobs_dlq_size": 1,
        "jobs_queue_paused": 1, "jobs_stale_leases_total": 1, "jobs_reclaimed_total": 0, "jobs_reconnects_total": 0,
    }  # fmt: skip
    assert {name: value(metrics, name, queue="emails") for name in expected} == expected
    assert value(metrics, "jobs_oldest_ready_age_seconds", queue="emails") == pytest.approx(0, abs=5)
    age = value(metrics, "jobs_scheduler_last_tick_age_seconds", queue="emails", schedule="cleanup")
    assert age == pytest.approx(30, abs=5)
    assert value(metrics, "jobs_scheduler_last_tick_age_seconds", queue="emails", schedule="never ticked") is None


def test_a_queue_watched_again_keeps_its_schedules() -> None:
    queue = InMemoryJobQueue()
    queue.claim_tick("cleanup", 1)
    metrics = Metrics()
    metrics.watch(queue, ["cleanup"])
    metrics.watch(queue)
    assert value(metrics, "jobs_scheduler_last_tick_age_seconds", queue="jobs", schedule="cleanup")


@pytest.mark.parametrize("error", [QueueUnavailable("redis://:s3cret@host is away"), RuntimeError("a bug")])
def test_a_queue_that_is_away_is_reported_as_down_and_the_others_as_they_are(error: Exception) -> None:
    class Away(InMemoryJobQueue):
        def stats(self) -> QueueStats:
            raise error

    metrics = Metrics()
    metrics.watch(Away(name="away"), ["cleanup"])
    metrics.watch(InMemoryJobQueue(name="here"))
    assert value(metrics, "jobs_queue_up", queue="away") == 0
    assert value(metrics, "jobs_dlq_size", queue="away") is None
    assert value(metrics, "jobs_queue_up", queue="here") == 1
    assert value(metrics, "jobs_dlq_size", queue="here") == 0


async def test_an_asyncio_queue_is_read_in_its_loop_and_down_when_that_is_blocked(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "SCRAPE_SECONDS", 0.2)
    queue = AsyncRedisJobQueue(fakeredis.FakeAsyncRedis(), prefix=prefix)
    await queue.enqueue("mail", {})
    metrics = Metrics()
    metrics.watch(queue)
    assert await asyncio.to_thread(value, metrics, "jobs_queue_depth", queue=prefix) == 1
    assert value(metrics, "jobs_queue_up", queue=prefix) == 0  # this very scrape blocks the loop
    await queue.close()


def test_an_asyncio_queue_whose_loop_has_ended_is_down(prefix: str) -> None:
    metrics = Metrics()
    queue = AsyncRedisJobQueue(fakeredis.FakeAsyncRedis(), prefix=prefix)

    async def watch() -> None:
        metrics.watch(queue)

    asyncio.run(watch())
    assert value(metrics, "jobs_queue_up", queue=prefix) == 0


def test_producers_cannot_make_labels_without_end() -> None:
    metrics = Metrics()
    for number in range(metrics_module.MOST_LABELS + 50):
        metrics.observe(f"job-{number}", 0.1, f"Error{number}")
    names = {
        sample.labels["job_name"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "jobs_processed_total"
    }
    assert len(names) == metrics_module.MOST_LABELS + 1
    assert value(metrics, "jobs_processed_total", job_name="(other)", status="failure") == 50
    assert value(metrics, "jobs_failures_total", job_name="(other)", error_type="(other)") == 50


@pytest.mark.parametrize("prefix", ["", "my-app", "1st", "a b"])
def test_a_prefix_that_prometheus_does_not_take_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="metric prefix"):
        Metrics(prefix)


# the endpoint


@pytest.fixture
def default_registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """A default registry for this test alone, for metrics that an application defines."""
    registry = CollectorRegistry(auto_describe=True)
    monkeypatch.setattr(metrics_module, "REGISTRY", registry)
    monkeypatch.setattr(endpoint_module, "REGISTRY", registry)
    return registry


def test_the_endpoint_serves_ours_and_the_applications_under_one_name_each(
    default_registry: CollectorRegistry,
) -> None:
    queue = InMemoryJobQueue()
    metrics = Metrics()
    metrics.watch(queue)
    metrics.observe("ours", 0.1, None)
    Counter("jobs_processed_total", "theirs", ["name", "status"], registry=default_registry).labels("x", "ok").inc()
    Gauge("jobs_dlq_size", "theirs", registry=default_registry).set(41)
    Gauge("jobs_failures_total", "of another type", registry=default_registry)
    Gauge("shop_orders", "theirs alone", registry=default_registry).set(3)
    endpoint = metrics.serve(0, "127.0.0.1")
    try:
        families = scrape(endpoint.port)
    finally:
        endpoint.close()
    assert sorted(samples(families["jobs_processed"], "jobs_processed_total"), key=str) == [
        ({"job_name": "ours", "status": "success"}, 1),
        ({"name": "x", "status": "ok"}, 1),
    ]
    assert samples(families["jobs_dlq_size"], "jobs_dlq_size") == [({"queue": "jobs"}, 0), ({}, 41)]
    assert families["jobs_failures"].type == "counter"
    assert samples(families["shop_orders"], "shop_orders") == [({}, 3)]


def test_a_sample_that_both_have_is_served_once(default_registry: CollectorRegistry) -> None:
    metrics = Metrics()
    metrics.watch(InMemoryJobQueue())
    Gauge("jobs_dlq_size", "theirs", ["queue"], registry=default_registry).labels("jobs").set(41)
    endpoint = metrics.serve(0, "127.0.0.1")
    families = scrape(endpoint.port)
    endpoint.close()
    assert samples(families["jobs_dlq_size"], "jobs_dlq_size") == [({"queue": "jobs"}, 0)]


def test_a_collector_of_the_applications_that_fails_does_not_hide_ours(
    default_registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    gauge = Gauge("shop_orders", "theirs", registry=default_registry)
    gauge.set_function(lambda: 1 / 0)
    metrics = Metrics()
    metrics.watch(InMemoryJobQueue())
    endpoint = metrics.serve(0, "127.0.0.1")
    families = scrape(endpoint.port)
    endpoint.close()
    assert "jobs_dlq_size" in families
    assert "collector failed" in caplog.text


def test_a_closed_endpoint_frees_its_port_and_a_taken_one_is_said() -> None:
    metrics = Metrics()
    endpoint = metrics.serve(0, "127.0.0.1")
    with pytest.raises(ConfigurationError, match=str(endpoint.port)):
        metrics.serve(endpoint.port, "127.0.0.1")
    endpoint.close()
    metrics.serve(endpoint.port, "127.0.0.1").close()


# side by side with the guide's own metrics


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "the guide's first"])
def test_the_guides_snippet_runs_in_the_same_process(ours_first: bool) -> None:
    ours = """
from svcjobs.metrics import Metrics
from svcjobs import InMemoryJobQueue
metrics, second = Metrics(), Metrics()
metrics.watch(InMemoryJobQueue())
metrics.observe("ours", 0.1, None)
"""
    check = """
import urllib.request
endpoint = metrics.serve(0, "127.0.0.1")
text = urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics").read().decode()
endpoint.close()
assert 'jobs_processed_total{job_name="ours",status="success"} 1.0' in text, text
assert 'jobs_processed_total{name="theirs",status="success"} 1.0' in text, text
assert 'jobs_dlq_size{queue="jobs"} 0.0' in text, text
assert 'jobs_dlq_size 41.0' in text, text
assert text.count("# TYPE jobs_dlq_size ") == text.count("# TYPE jobs_processed_total ") == 1, text
"""
    parts = [ours, GUIDE_SNIPPET] if ours_first else [GUIDE_SNIPPET, ours]
    run(*parts, check)


def test_metrics_that_are_off_import_nothing() -> None:
    run("""
import asyncio, sys
from svcjobs import InMemoryJobQueue, JobRegistry, Job, WorkerRunner, process_one
async def main():
    queue, registry = InMemoryJobQueue(), JobRegistry()
    registry.register("a", lambda job: None)
    for _ in range(3):
        queue.enqueue("a", {})
    await registry.dispatch(Job(id="1", name="a", payload={}))
    await process_one(queue, registry)
    runner = WorkerRunner(queue, registry)
    runner.start()
    while queue.stats().totals["acked"] < 3:
        await asyncio.sleep(0.01)
    await runner.stop()
asyncio.run(main())
assert "prometheus_client" not in sys.modules
""")


def test_importing_svcjobs_alone_is_light() -> None:
    run("""
import sys
import svcjobs
assert svcjobs.__version__
loaded = {"redis", "pydantic", "prometheus_client", "click", "asyncio"} & set(sys.modules)
assert not loaded, loaded
for name in svcjobs.__all__:
    assert getattr(svcjobs, name).__name__ or name in ("Effect",), name
try:
    svcjobs.nonsense
except AttributeError as error:
    assert "nonsense" in str(error)
else:
    raise AssertionError
""")


def run(*parts: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(parts)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


# the alert rules


def test_the_alert_rules_use_only_metrics_that_are_exported() -> None:
    exported = set()
    metrics = Metrics()
    metrics.watch(InMemoryJobQueue())
    for family in metrics.registry.collect():
        exported.add(f"{family.name}_total" if family.type == "counter" else family.name)
    rules = ALERTS.read_text()
    expressions = re.findall(r"expr: (.+(?:\n {14}.+)*)", rules)
    assert len(expressions) == rules.count("- alert:") >= 8
    used = {name for expression in expressions for name in re.findall(r"\bjobs_\w+", expression)}
    assert used
    assert used <= exported
    assert {"jobs_dlq_size", "jobs_oldest_ready_age_seconds", "jobs_stale_leases_total"} <= used
    assert "jobs_scheduler_last_tick_age_seconds" in used


def test_the_default_registry_of_this_process_holds_nothing_of_ours() -> None:
    Metrics()
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("jobs_")]
