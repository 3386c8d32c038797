"""Parts of the command line: the checks of a server, the search for an application, the words of tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from svcjobs.application import HandlerApplication
from svcjobs.cli.applications import find_application
from svcjobs.cli.durations import SECONDS
from svcjobs.cli.logs import node_name
from svcjobs.cli.output import duration, first_line, stamp, until
from svcjobs.cli.readiness import check_eviction, check_version, wait_until_ready
from svcjobs.errors import ConfigurationError, QueueRefused, QueueUnavailable
from tests.unit.test_settings import VARIABLES


@pytest.mark.parametrize(
    "info",
    [
        {"redis_version": "6.2.0"}, {"redis_version": "8.0.1"}, {"redis_version": "7.2.4", "valkey_version": "7.2.5"},
        {"redis_version": "7.2.4", "valkey_version": "8.0.0"}, {"redis_version": "255.255.255"}, {},
    ],
)  # fmt: skip
def test_servers_that_are_new_enough(info: dict[str, str]) -> None:
    check_version(info)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"redis_version": "6.0.16"}, "Redis 6.0.16"),
        ({"redis_version": "7.2.4", "valkey_version": "7.1"}, "Valkey 7.1"),
    ],
)
def test_servers_that_are_too_old(info: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{says}.*Redis 6.2 or Valkey 7.2"):
        check_version(info)


def test_eviction_is_refused_unless_allowed() -> None:
    told: list[str] = []
    check_eviction({"maxmemory_policy": "noeviction"}, allow=False, tell=told.append)
    assert told == []
    with pytest.raises(ConfigurationError, match=r"allkeys-lru.*--allow-eviction"):
        check_eviction({"maxmemory_policy": "allkeys-lru"}, allow=False, tell=told.append)
    check_eviction({"maxmemory_policy": "volatile-ttl"}, allow=True, tell=told.append)
    assert "volatile-ttl" in told[0]


def test_a_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = [QueueUnavailable("away"), QueueUnavailable("away"), [{"redis_version": "7.0"}]]

    def ask(url: str) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("svcjobs.cli.readiness._ask", ask)
    told: list[str] = []
    pauses: list[float] = []
    wait_until_ready("redis://:sekret@h/0", allow_eviction=False, tell=told.append, pause=pauses.append)
    assert answers == []
    assert pauses == [0.5, 1.0]
    assert len(told) == 2
    assert "redis://:***@h/0 isn't ready: away" in told[0]


def test_refused_credentials_end_it_and_a_forbidden_info_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(url: str) -> object:
        raise QueueRefused(refusal)

    monkeypatch.setattr("svcjobs.cli.readiness._ask", ask)
    told: list[str] = []
    refusal = "invalid username-password pair"
    with pytest.raises(QueueRefused):
        wait_until_ready("redis://h/0", allow_eviction=False, tell=told.append)
    refusal = "this user has no permissions to run the 'info' command"
    wait_until_ready("redis://h/0", allow_eviction=False, tell=told.append)
    assert "unchecked" in told[0]


SHOP = """
from svcjobs.registry import JobRegistry
registry = JobRegistry(metric_prefix="shop")
other = JobRegistry(metric_prefix="other")
def handle(job): ...
def make(): return other
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "lone.py").write_text("from svcjobs.registry import JobRegistry\nmine = JobRegistry('lone')\n")
    (tmp_path / "two.py").write_text("from shop import registry as one, other as two\n")
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "__init__.py").write_text("")
    celery = "from svcjobs.registry import JobRegistry\napp = JobRegistry('proj')\n"
    (tmp_path / "proj" / "celery.py").write_text(celery)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("shop", "lone", "two", "proj", "proj.celery"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "prefix"),
    [("shop:registry", "shop"), ("shop", "shop"), ("shop:make", "other"), ("lone", "lone"), ("proj", "proj")],
)
def test_applications_are_found(shop: Path, target: str, prefix: str) -> None:
    application = find_application(target)
    assert application is not None
    assert application.metric_prefix == prefix


def test_a_function_that_takes_a_job_is_an_application(shop: Path) -> None:
    assert isinstance(find_application("shop:handle"), HandlerApplication)


def test_several_applications_have_to_be_told_apart(shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="several applications"):
        find_application("two")


def test_the_environment_names_an_application(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_application(None) is None
    monkeypatch.setenv("JOBS_HANDLER_TARGET", "shop:handle")
    assert isinstance(find_application(None), HandlerApplication)
    monkeypatch.setenv("JOBS_REGISTRY_TARGET", "shop:other")
    application = find_application(None)
    assert application is not None
    assert application.metric_prefix == "other"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0ms"), (0.85, "850ms"), (12.9, "12s"), (184, "3m 04s"), (7380, "2h 03m"), (190800, "2d 05h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_instants() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert until(now + timedelta(seconds=90), now) == "in 1m 30s"
    assert until(now, now) == "now"
    assert until(None) == "-"
    assert stamp(now) == "2026-01-01 00:00:00Z"
    assert stamp(None) == "-"


def test_first_lines() -> None:
    assert first_line("one\ntwo") == "one"
    assert first_line("x" * 100, 10) == "x" * 9 + "…"
    assert first_line(None) == ""


def test_node_names() -> None:
    assert node_name("w1@%h", "worker") != "w1@%h"
    assert node_name(None, "beat").startswith("beat@")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604800), ("1w", 604800)]
)
def test_a_duration_may_have_a_unit(text: str, seconds: float) -> None:
    assert SECONDS.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["s", "3 s", "-5s", "0s", "1y", "6000w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SECONDS.convert(text, None, None)
