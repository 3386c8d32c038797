"""The Grafana dashboard, the alert rules and the scaling query ask for what a worker really serves at /metrics."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from svcjobs.metrics import BridgeMetrics
from svcjobs.redis_queue import RedisJobQueue
from tests.compat.program import SVCJOBS, running
from tests.eventually import eventually
from tests.ports import free_port
from tests.server_program import ROOT
from tests.servers import RedisServer

DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((ROOT / "docs" / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
KEDA = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "keda.yaml").read_text())
HPA = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "hpa.yaml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
SCALING = KEDA["spec"]["triggers"][0]["metadata"]["query"]

APPLICATION = """
from svcjobs import JobRegistry

registry = JobRegistry()

@registry.handler("good")
def good(job):
    pass

@registry.handler("bad")
def bad(job):
    raise ValueError("no")
"""
SCHEDULE = '[{"name": "often", "interval_seconds": 1, "job_name": "good"}]'

Served = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def served(module_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Each name that a worker and a bridge serve, with its labels."""
    folder, port = tmp_path_factory.mktemp("application"), free_port()
    (folder / "metered.py").write_text(APPLICATION)
    environment = {"JOBS_DRIVER": "redis", "REDIS_URL": module_server.url, "JOBS_SCHEDULE_JSON": SCHEDULE}
    command = [SVCJOBS, "worker", "-A", "metered", "--metrics-port", str(port)]
    with running(command, folder, environment) as worker:
        with closing(module_server.client()) as client, closing(RedisJobQueue(client)) as queue:
            queue.enqueue("bad", max_attempts=1)
            worker.says("metrics at ")  # another process than the one that is ready says so
            pages = eventually(lambda: _all_there(_page(port)), 60, "all metrics")
        assert worker.stop() == 0
    bridge = BridgeMetrics()
    bridge.messages.labels("q", "moved")
    bridge.waiting.labels("q")
    bridge.reconnects.labels("broker")
    samples = [sample for family in (*pages, *bridge.registry.collect()) for sample in family.samples]
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def module_server(server_program: Any) -> Iterator[RedisServer]:
    with RedisServer(server_program) as server:
        yield server


def _page(port: int) -> list[Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return list(text_string_to_metric_families(answer.read().decode()))


def _all_there(families: list[Any]) -> list[Any] | None:
    names = {sample.name for family in families for sample in family.samples}
    needed = {"jobs_failures_total", "jobs_scheduler_last_tick_age_seconds", "jobs_wait_seconds_bucket"}
    return families if needed <= names else None


def asked(query: str) -> list[tuple[str, set[str]]]:
    """The metrics of a query with the labels that it names, wherever it does."""
    plain = query.replace("$__rate_interval", "5m")
    found: list[tuple[str, set[str]]] = []
    groups: set[str] = set()

    def visit(part: Any) -> None:
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            groups.update(part.modifier.labels)
        if isinstance(part, promql_parser.VectorSelector):
            found.append((part.name, {matcher.name for matcher in part.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(plain), visit)
    return [(name, labels | groups) for name, labels in found]


@pytest.mark.parametrize("query", [*QUERIES, *[rule["expr"] for rule in ALERTS], SCALING])
def test_every_metric_and_label_that_is_asked_for_is_served(query: str, served: Served) -> None:
    assert asked(query)
    for name, labels in asked(query):
        assert name in served
        assert labels <= served[name], f"{name} has no such label"


def test_legends_name_labels_of_their_query() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            ((_, labels), *_) = asked(target["expr"])
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


def test_the_variables_are_filled_from_what_is_served(served: Served) -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"}
    for name, variable in variables.items():
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert label == name
        assert label in served[metric]
    used = {word for query in QUERIES for word in re.findall(r"\$(\w+)", query)} - {"__rate_interval"}
    assert used == set(variables)


def test_what_is_served_of_queues_and_jobs_is_shown(served: Served) -> None:
    shown = {name for query in QUERIES for name, _ in asked(query)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    ours = {name for name in served if name.startswith("jobs_") and not name.endswith(("_created", "_info"))}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours} - families == {"jobs_bridge_reconnects_total"}


def test_the_lines_in_the_panels_are_the_limits_of_the_alerts() -> None:
    """An alert that compares with a number has a panel that says its name and draws the number."""
    by_alert = {alert: panel for panel in PANELS for alert in re.findall(r"[A-Z]\w+[A-Z]\w+", panel["description"])}
    assert {rule["alert"] for rule in ALERTS} == {name for name in by_alert if name in {r["alert"] for r in ALERTS}}
    for rule in ALERTS:
        panel = by_alert[rule["alert"]]
        names = {name for target in panel["targets"] for name, _ in asked(target["expr"])}
        assert names & {name for name, _ in asked(rule["expr"])}, rule["alert"]
        limit = re.search(r"> ([\d.]+)( \*|$)", rule["expr"].strip())
        if limit and float(limit[1]):
            drawn = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
            assert drawn == float(limit[1]), rule["alert"]


def test_panels_have_places_and_numbers_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= own


def test_both_ways_of_scaling_ask_for_the_same() -> None:
    (metric,) = HPA["spec"]["metrics"]
    ((name, _),) = asked(SCALING)
    adapter = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["external"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"] == rule["seriesQuery"] == name
    assert metric["external"]["target"]["value"] == KEDA["spec"]["triggers"][0]["metadata"]["threshold"]
    assert KEDA["spec"]["scaleTargetRef"]["name"] == HPA["spec"]["scaleTargetRef"]["name"] == "svcjobs-worker"
    query = rule["metricsQuery"].replace("<<.Series>>", name).replace("<<.LabelMatchers>>", 'queue="jobs"')
    assert asked(query) == asked(SCALING)


def test_the_parser_notices_what_is_wrong(served: Served) -> None:
    assert asked('max by (nobody) (jobs_none{queue="q"})') == [("jobs_none", {"nobody", "queue"})]
    assert "jobs_none" not in served
    with pytest.raises(ValueError, match="parenthesis"):
        asked("max by (queue) (jobs_dlq_size")
