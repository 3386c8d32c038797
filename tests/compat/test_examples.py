"""Each example of a Celery application: as it is on real Celery, as it is on ours, and with its imports changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = {
    "flask_reports": "examples.flask_reports.worker",
    "fastapi_signups": "examples.fastapi_signups.tasks",
    "django_shop": "examples.django_shop.shop",
}
OUTCOMES = {
    "flask_reports": {
        "good": {"state": "SUCCESS", "report": "north: 7 EUR; south: 5 EUR; west: 3 EUR"},
        "bad": "FAILURE",
    },
    "fastapi_signups": {
        "mails": [
            "confirm ann@example.org after 2 retries",
            "confirm bob@example.org after 2 retries",
            "remind ann@example.org",
            "welcome ann@example.org",
            "welcome bob@example.org",
        ],
        "states": [{"state": "SUCCESS", "retries": 2}] * 2,
    },
    "django_shop": {
        "statuses": [201, 409, 201],
        "orders": [["chair", "shipped"], ["lamp", "shipped"]],
        "closed": True,
    },
}
CELERY = [sys.executable, "-m", "celery"]
SVCJOBS = [sys.executable, "-m", "svcjobs"]
FLAGS = ["-l", "INFO", "-Q", "celery,slow", "-c", "2", "-B"]


def run(example: str, command: list[str], server: RedisServer, folder: Path, **variables: str) -> Any:
    """What the example's main program prints, with a worker of ``command`` beside it, both in ``folder``."""
    environment = os.environ | variables
    environment |= {"BROKER_URL": server.url, "RESULT_BACKEND": server.url, "SHOP_DATABASE": str(folder / "shop.db")}
    environment["PYTHONPATH"] = str(folder)
    with worker(command, folder, environment):
        main = [sys.executable, "-W", "ignore", "-m", f"examples.{example}"]
        done = subprocess.run(
            main, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def worker(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A worker that takes tasks; it has to end well."""
    log = folder / "worker.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: " ready" in log.read_text() or process.poll() is not None, timeout=60)
        assert process.poll() is None, log.read_text()
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a copy of the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("example", APPS)
def test_the_example_on_real_celery(example: str, own_server: RedisServer, folder: Path) -> None:
    command = [*CELERY, "-A", APPS[example], "worker", *FLAGS, "-s", str(folder / "schedule")]
    assert run(example, command, own_server, folder) == OUTCOMES[example]


@pytest.mark.parametrize("example", APPS)
def test_the_example_unchanged_on_ours(example: str, own_server: RedisServer, folder: Path) -> None:
    command = [*SVCJOBS, "worker", "-A", APPS[example], *FLAGS]
    assert run(example, command, own_server, folder, SVCJOBS_AS_CELERY="1") == OUTCOMES[example]


@pytest.mark.parametrize("example", APPS)
def test_the_example_with_its_imports_changed(example: str, own_server: RedisServer, folder: Path) -> None:
    patch = folder / "examples" / example / "port.diff"
    subprocess.run(["git", "apply", str(patch)], cwd=folder / "examples", check=True)
    command = [*SVCJOBS, "worker", "-A", APPS[example], *FLAGS]
    assert run(example, command, own_server, folder) == OUTCOMES[example]


@pytest.mark.parametrize("example", APPS)
def test_a_port_changes_imports_only(example: str) -> None:
    lines = (ROOT / "examples" / example / "port.diff").read_text().splitlines()
    changes = [line for line in lines if re.match(r"[-+](?![-+])", line)]
    assert changes
    assert all(re.fullmatch(r"[-+]\s*from (celery|svcjobs_celery_compat)[\w.]* import .*", line) for line in changes)
