"""The files in deploy/ fit the command line, one another, and the tools that read them."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from svcjobs.cli import main
from tests.compat.program import SVCJOBS, run
from tests.integration.deployed import (
    APP,
    COMPOSE,
    DEPLOY,
    DEPLOYMENTS,
    MANIFESTS,
    SERVICES,
    STARTS,
    UNITS,
    Start,
    unit_of,
)
from tests.server_program import ROOT
from tests.unit.test_settings import VARIABLES

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
EACH = pytest.mark.parametrize("start", STARTS.values(), ids=list(STARTS))


@EACH
def test_the_command_line_takes_every_argument(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(APP))
    name, *arguments = start.arguments
    main.commands[name].make_context(name, arguments)
    with pytest.raises(click.UsageError):
        main.commands[name].make_context(name, [*arguments, "--no-such-option"])
    sys.modules.pop("mail", None)


@EACH
def test_every_variable_is_one_that_is_read(start: Start) -> None:
    assert set(start.environment) <= set(VARIABLES)
    assert start.environment["JOBS_DRIVER"] == "redis"


@EACH
def test_who_stops_has_more_time_than_its_jobs(start: Start) -> None:
    if "--grace" in start.arguments:
        assert start.stop_seconds >= float(start.option("--grace")) + 10


@pytest.mark.parametrize("kind", ["worker", "beat", "dashboard"])
def test_all_ways_start_the_same(kind: str) -> None:
    """So that what is seen of the one in compose, which is started for real, holds for the others."""
    told = {
        name: {word for word in start.arguments if word.startswith("-")}
        - {"--grace", "--log-format", "--no-beat", "--host"}
        for name, start in STARTS.items()
        if start.arguments[0] == kind
    }
    assert len(told) == 3
    assert len(set(map(frozenset, told.values()))) == 1, told
    assert {start.option("-A") for start in STARTS.values()} == {"mail"}


def test_compose_waits_for_the_server_and_hides_it() -> None:
    for service in SERVICES.values():
        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert service["environment"]["REDIS_URL"] == "redis://redis:6379/0"
        assert service["image"] == "shop"
    # several would make as many images, of which one gets the name
    builds = {name: service["build"] for name, service in SERVICES.items() if "build" in service}
    assert builds == {"worker": {"context": "..", "dockerfile": "deploy/Dockerfile"}}
    redis = COMPOSE["services"]["redis"]
    assert redis["volumes"] == ["redis:/data"]
    assert list(COMPOSE["volumes"]) == ["redis"]
    assert "ports" not in redis
    # one published port, of which --scale must not make two
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["dashboard"]
    (published,) = SERVICES["dashboard"]["ports"]
    assert published == f"127.0.0.1:8090:{STARTS['compose-dashboard'].option('--port')}"


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_probes_and_services_meet_the_ports_of_the_command(name: str) -> None:
    start, deployment = STARTS[f"kubernetes-{name}"], DEPLOYMENTS[name]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container.get("ports", [])}
    expected = {"health": "--health-port", "metrics": "--metrics-port", "http": "--port"}
    assert ports == {port: start.option(expected[port]) for port in ports}
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        if "httpGet" in container.get(probe, {}):
            assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    if start.arguments[0] in ("worker", "beat"):
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == ports.get("metrics", ports["health"])
    assert pod["securityContext"]["runAsUser"] == 10001
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def test_what_runs_twice_is_never_drained_at_once() -> None:
    budgets = [one for one in MANIFESTS if one.get("kind") == "PodDisruptionBudget"]
    kept = [budget["spec"]["selector"]["matchLabels"]["app"] for budget in budgets]
    assert kept == [name for name, one in DEPLOYMENTS.items() if one["spec"]["replicas"] > 1]


def test_kubernetes_files_are_read_by_kubernetes_tool() -> None:
    """Only what kubectl does by itself: it has no cluster to ask."""
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert set(listed) < {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    if shutil.which("kubectl"):
        built = run(["kubectl", "kustomize", str(DEPLOY / "kubernetes")], DEPLOY, {})
        assert built.returncode == 0, built.stderr
        kinds = [one.get("kind") for one in yaml.safe_load_all(built.stdout)]
        assert sorted(set(kinds)) == ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_the_unit(path: Path, tmp_path: Path) -> None:
    unit = unit_of(path)
    assert (unit["Type"], unit["KillSignal"], unit["RestartPreventExitStatus"]) == ("exec", "SIGTERM", "78")
    if shutil.which("systemd-analyze"):
        here = path.read_text().replace("/opt/shop/venv/bin/svcjobs", SVCJOBS)
        (tmp_path / path.name).write_text(here)
        done = run(["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)], tmp_path, {})
        said = [line for line in (done.stdout + done.stderr).splitlines() if path.name in line]
        assert not said


def test_the_image_holds_what_the_build_needs_and_what_it_starts() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    allowed = {line.removeprefix("!") for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split()}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in allowed or str(Path(source).parent) in allowed, f"{source} is kept out by the ignore file"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        project["project"]["readme"],
        *project["project"]["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    }
    assert needed <= sources
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    entry, command = (
        json.loads(re.search(rf"^{word} (\[.+\])$", last, re.MULTILINE)[1]) for word in ("ENTRYPOINT", "CMD")
    )  # type: ignore[index]
    assert entry == ["svcjobs"]
    assert command == list(STARTS["compose-worker"].arguments[:3])


def test_the_page_shows_the_application_and_names_files_and_services_that_exist() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert (APP / "mail.py").read_text() in page
    commands = re.findall(r"docker compose [^`\n]*", page)
    assert len(commands) > 5
    for command in commands:
        words = command.split()
        assert (ROOT / words[words.index("-f") + 1]).exists(), command
        if words[4] in ("exec", "logs"):
            assert words[5] in SERVICES, command
    for path in re.findall(r"(?<![\w/])deploy/[\w./*]+", page):
        assert list(ROOT.glob(path)) or path == "deploy/.env", path
    for kind, name in re.findall(r"(deployment|service)/(svcjobs-\w+)", page):
        assert [one for one in MANIFESTS if one.get("kind", "").lower() == kind and one["metadata"]["name"] == name]
    enabled = re.search(r"systemctl enable --now (.+)", page)
    assert enabled is not None
    assert sorted(enabled[1].split()) == [path.stem for path in UNITS]
    # compose reads this one beside its file, and git must not
    assert "deploy/.env" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("starts", ["compose-{}", "kubernetes-svcjobs-{}"])
def test_schedulers_and_dashboards_have_the_schedule_and_workers_do_not(starts: str) -> None:
    """A worker that had it would run it."""

    def schedule(role: str) -> str | None:
        return STARTS[starts.format(role)].environment.get("JOBS_SCHEDULE_JSON")

    assert schedule("worker") is None
    assert schedule("scheduler") == schedule("dashboard")
    assert json.loads(schedule("scheduler") or "")[0]["name"] == "digest"
