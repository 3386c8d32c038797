"""docs/configuration.md and docs/metrics.md list what the code has: all of it, and nothing else."""

from __future__ import annotations

import ast
import re

import pytest
from pydantic_core import PydanticUndefined

from svcjobs import settings
from svcjobs.metrics import BridgeMetrics, Metrics, OutboxMetrics
from svcjobs.queue import InMemoryJobQueue
from svcjobs.settings import EnvironmentModel
from tests.server_program import ROOT

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()
VARIABLE = re.compile(r"(JOBS?|REDIS|UPSTASH)_[A-Z_]+|DATABASE_URL")


def variables() -> dict[str, str]:
    """The variables that svcjobs reads, each with its default as text."""
    found = {}
    for model in EnvironmentModel.__subclasses__():
        for field in model.model_fields.values():
            has_default = field.default not in (None, PydanticUndefined)
            found[str(field.alias)] = f"{field.default:g}" if type(field.default) is float else str(field.default)
            found[str(field.alias)] = found[str(field.alias)] if has_default else ""
    source = ast.parse((ROOT / "svcjobs" / "settings.py").read_text())
    for node in ast.walk(source):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
            found.setdefault(node.value, "")
    found["REDIS_URL"] = settings.redis_url()
    return found


def test_every_variable_is_documented_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBS_REDIS_URL", "REDIS_URL", "UPSTASH_REDIS_REST_URL"):
        monkeypatch.delenv(name, raising=False)
    rows = re.findall(r"^\| `([A-Z_]+)` \|([^|]*)\|", CONFIGURATION, re.MULTILINE)
    documented = {name: default.strip(" `").replace("no limit", "") for name, default in rows}
    assert documented == variables()


def test_every_metric_is_documented_with_its_labels() -> None:
    metrics, queue = Metrics(), InMemoryJobQueue()
    queue.claim_tick("hourly", 1)
    metrics.watch(queue, ["hourly"])
    queue.enqueue("work")
    job = queue.reserve_next()
    assert job is not None
    metrics.observe("work", 1.0, "ValueError")
    metrics.observe_wait(job)
    bridge = BridgeMetrics()
    bridge.messages.labels("q", "moved")
    bridge.waiting.labels("q")
    bridge.reconnects.labels("broker")
    outbox = OutboxMetrics()
    outbox.messages.labels("moved")
    outbox.failures.labels("queue")
    found = {}
    for family in (*metrics.registry.collect(), *bridge.registry.collect(), *outbox.registry.collect()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    rows = re.findall(r"^\| `(jobs_\w+)` \| (\w+) \| ([^|]+) \|", METRICS, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == found


def test_every_reason_of_a_dead_job_is_documented() -> None:
    """``bury`` is called with these words, or with that of a DeadLetter."""
    page = (ROOT / "docs" / "concepts.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "svcjobs").rglob("*") if path.suffix in (".py", ".lua"))
    for reason in ("exhausted", "worker_lost", "unknown_job", "schema_mismatch", "corrupt", "rejected"):
        assert f'"{reason}"' in sources or f"'{reason}'" in sources, f"nothing in the code says {reason}"
        assert f"`{reason}`" in page
    given = set(re.findall(r"Bury\([^)\n]*?\"(\w+)\"", sources))
    assert given <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)), given
