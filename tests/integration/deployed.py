"""What the files in deploy/ start, read out of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.compat.program import SVCJOBS
from tests.server_program import ROOT
from tests.servers import RedisServer

DEPLOY = ROOT / "deploy"
APP = DEPLOY / "app"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = {name: service for name, service in COMPOSE["services"].items() if name != "redis"}
MANIFESTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in MANIFESTS if one.get("kind") == "Deployment"}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PASSWORD = "a password"


@dataclass(frozen=True, slots=True)
class Start:
    """What a file starts.

    Args:
        arguments: after ``svcjobs``.
        environment: as the file sets it; None is a value of a secret.
        stop_seconds: how long it may take to stop before it is killed.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str | None]
    stop_seconds: float

    def option(self, name: str) -> str:
        """The value of an option."""
        return self.arguments[self.arguments.index(name) + 1]

    def moved(self, ports: Mapping[str, int]) -> list[str]:
        """The command with other ports, by the names of their options."""
        command = [SVCJOBS, *self.arguments]
        for name, port in ports.items():
            command[command.index(name) + 1] = str(port)
        return command


def _of_compose(service: Mapping[str, Any]) -> Start:
    grace = float(service.get("stop_grace_period", "10s").removesuffix("s"))
    return Start(service["command"], service["environment"], grace)


def _of_kubernetes(deployment: Mapping[str, Any]) -> Start:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment: dict[str, str | None] = {one["name"]: one.get("value") for one in container["env"]}
    for source in container["envFrom"]:
        name = source["configMapRef"]["name"]
        maps = [one for one in MANIFESTS if one.get("kind") == "ConfigMap" and one["metadata"]["name"] == name]
        (settings,) = maps
        environment |= settings["data"]
    return Start(container["args"], environment, pod.get("terminationGracePeriodSeconds", 30))


def _of_unit(path: Path) -> Start:
    unit = unit_of(path)
    command = shlex.split(unit["ExecStart"])
    assert command[0] == unit["WorkingDirectory"] + "/venv/bin/svcjobs"
    lines = shlex.split((DEPLOY / "systemd" / Path(unit["EnvironmentFile"]).name).read_text(), comments=True)
    return Start(command[1:], dict(line.split("=", 1) for line in lines), float(unit["TimeoutStopSec"]))


def unit_of(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


STARTS = (
    {f"compose-{name}": _of_compose(service) for name, service in SERVICES.items()}
    | {f"kubernetes-{name}": _of_kubernetes(one) for name, one in DEPLOYMENTS.items()}
    | {f"systemd-{path.stem}": _of_unit(path) for path in UNITS}
)


def environment_for(start: Start, server: RedisServer) -> dict[str, str]:
    """What the file sets, with the server of this machine and values for its secrets."""
    assert re.fullmatch(r"redis://[\w.]+:6379/0", start.environment["REDIS_URL"] or "redis://secret:6379/0")
    secrets = {"REDIS_URL": server.url, "JOBS_DASHBOARD_PASSWORD": PASSWORD}
    given = {name: value for name, value in start.environment.items() if value is not None}
    return given | {name: value for name, value in secrets.items() if name in start.environment}
