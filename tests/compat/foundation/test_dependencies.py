"""A user's machine needs what pyproject.toml names: the rest of what is installed here can't be imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import kombu
import pytest

from tests.compat.program import SVCJOBS, running
from tests.servers import RedisServer

pytestmark = pytest.mark.server

# read by each Python process at its start
REFUSING = """
import sys

REFUSED = {refused!r}

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name in REFUSED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusing())
"""

PROJ = """
from svcjobs_celery_compat import Celery

app = Celery("proj", broker={url!r}, backend={url!r})

@app.task
def add(x, y):
    return x + y
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirement: str) -> Iterator[str]:
    """The distribution of a requirement, and those that it needs itself."""
    found = re.match(r"([\w.-]+)(?:\[([^\]]*)\])?", requirement)
    assert found is not None
    yield normal(found[1])
    try:
        further = requires(found[1]) or []
    except PackageNotFoundError:  # for another system
        return
    extras = {extra.strip() for extra in (found[2] or "").split(",")}
    for one in further:
        extra = re.search(r"extra == ['\"]([^'\"]+)", one)
        if extra is None or extra[1] in extras:
            yield from needed(one)


@pytest.fixture(scope="module")
def refused() -> set[str]:
    """The modules that only extras, tests and tools bring."""
    allowed = set(needed("svcjobs"))
    return {
        module
        for module, names in packages_distributions().items()
        if not module.startswith("_") and not allowed & {normal(name) for name in names}
    }


@pytest.fixture
def environment(refused: set[str], tmp_path: Path) -> Mapping[str, str]:
    (tmp_path / "sitecustomize.py").write_text(REFUSING.format(refused=refused))
    return {"PYTHONPATH": str(tmp_path)}


def call(environment: Mapping[str, str], folder: Path, *arguments: str) -> str:
    with running([SVCJOBS, *arguments], folder, environment) as program:
        assert program.process.wait(60) == 0, program.output
        return program.output


def test_the_guard_refuses_what_is_not_named(refused: set[str], environment: Mapping[str, str], tmp_path: Path) -> None:
    assert {"pytest", "celery", "sqlalchemy", "httpx", "jinja2"} <= refused
    assert not {"kombu", "redis", "hiredis", "pydantic", "pydantic_core", "vine", "click", "rich"} & refused
    with running([SVCJOBS, "dashboard", "--redis-url", "redis://127.0.0.1:1"], tmp_path, environment) as program:
        assert program.process.wait(60) == 78
        assert "isn't installed" in program.output


@pytest.mark.timeout(180)
def test_a_celery_app_needs_no_more(environment: Mapping[str, str], tmp_path: Path, own_server: RedisServer) -> None:
    (tmp_path / "proj.py").write_text(PROJ.format(url=own_server.url))
    with running([SVCJOBS, "worker", "-A", "proj", "-c", "1", "-B", "-l", "INFO"], tmp_path, environment) as worker:
        worker.says(" ready.\n")
        assert "pong" in call(environment, tmp_path, "celery", "-A", "proj", "inspect", "ping")
        task_id = call(environment, tmp_path, "celery", "-A", "proj", "call", "proj.add", "--args", "[2, 3]").strip()
        assert call(environment, tmp_path, "celery", "-A", "proj", "result", task_id).strip() == "5"
        assert worker.stop() == 0
    with kombu.Connection(own_server.url) as old, closing(old.SimpleQueue("old")) as simple_queue:
        simple_queue.put({"some": "message"})
    there = {**environment, "JOBS_DRIVER": "redis", "REDIS_URL": own_server.url}
    call(there, tmp_path, "bridge", "--from", own_server.url, "--queues", "old", "--drain")
    assert '"ready": 1' in call(there, tmp_path, "status", "--queues", "old", "--json")
