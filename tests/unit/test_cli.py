"""The command line without a server: what it refuses, with which code and words; plugins; the schedule."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from svcjobs.cli import main
from svcjobs.cli.program import PLUGIN_GROUP
from tests.unit.test_settings import VARIABLES

NOWHERE = "redis://:sekret@127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=text, prog_name="svcjobs")


@pytest.mark.parametrize(
    "arguments",
    [
        ["enqueue", "greet"], ["status"], ["dlq", "list"], ["dlq", "show", "1"], ["dlq", "requeue", "1"],
        ["dlq", "purge", "1"], ["pause"], ["resume"], ["purge", "--yes"],
    ],
)  # fmt: skip
def test_the_memory_driver_is_refused_where_it_shows_nothing(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 78
    assert "JOBS_DRIVER=redis" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["enqueue", "greet"], ["status"], ["status", "--json"], ["dlq", "list"]])
def test_a_server_that_is_away_is_one_line_without_the_password(arguments: list[str]) -> None:
    result = run(*arguments, "--redis-url", NOWHERE)
    assert result.exit_code == 69
    assert result.stdout == ""
    assert result.stderr.startswith("svcjobs: ")
    assert result.stderr.count("\n") == 1
    assert "sekret" not in result.stderr


def test_a_url_of_the_wrong_kind_is_a_configuration_error() -> None:
    result = run("status", "--redis-url", "https://:sekret@eu1.upstash.io")
    assert result.exit_code == 78
    assert "redis://, rediss://, or unix://" in result.stderr
    assert "sekret" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["enqueue", "a", "[1]"], "not an object"),
        (["enqueue", "a", "{"], "line 1 column 2"),
        (["enqueue", "a", "@missing.json"], "missing.json"),
        (["enqueue", "a", "--priority", "10"], "0<=x<=9"),
        (["enqueue", "a", "--max-attempts", "0"], "x>=1"),
        (["status", "-Q", "a,,b"], "empty name"),
        (["status", "--watch", "--json"], "don't go together"),
        (["status", "--driver", "memory", "--redis-url", NOWHERE], "don't go together"),
        (["dlq", "requeue"], "--all"),
        (["dlq", "purge", "1", "--all"], "--all"),
        (["worker", "-P", "fibers"], "'fibers' is not one of"),
        (["worker", "-P", "prefork", "--processes", "2"], "-c N is the number of processes"),
        (["worker", "-P", "solo", "-c", "2"], "use --processes N for more"),
        (["worker", "-c", "0"], "x>=1"),
        *(
            ([*command, option, value], f"'{option}': {value} is no time to wait: give a number of seconds")
            for command, option in (
                (["worker"], "--grace"),
                (["worker"], "--time-limit"),
                (["beat"], "--grace"),
                (["worker"], "--soft-time-limit"),
                (["worker"], "--visibility-timeout"),
                (["dev"], "--grace"),
                (["enqueue", "a"], "--delay"),
                (["status"], "--watch"),
            )
            for value in ("inf", "nan", "1e300")
        ),
        (["enqueue", "a", "--unique", "", "--redis-url", NOWHERE], "the unique key is ''"),
        (["enqueue", "a", "-Q", "a,b", "--redis-url", NOWHERE], "'a,b' names several queues: give one"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["worker"], "-A module:registry"),
        (["worker", "-A", "shop:number", "-P", "prefork"], "memory driver runs in one process"),
        (["worker", "-A", "shop:number", "--time-limit", "5"], "use -P prefork"),
        (["worker", "-A", "shop:number", "--time-limit", "5", "--soft-time-limit", "5"], "above the soft one"),
        (["worker", "-A", "nosuch:registry"], "no module 'nosuch'"),
        (["worker", "-A", "nosuch"], "'nosuch' can't be used: there is no module 'nosuch'"),
        (["worker", "-A", "no-such"], "'no-such' names no module"),
        (["worker", "-A", "shop:nothing"], "no attribute 'nothing'"),
        (["worker", "-A", "shop:number"], "neither a JobRegistry nor a handler"),
        (["worker", "-A", "empty"], "holds no application"),
        (["worker", "-A", "broken:app"], "importing broken raised RuntimeError: on import"),
        (["beat"], "the schedule is empty"),
        (["enqueue", "a", "-Q", "a{b}", "--redis-url", NOWHERE], "queue name 'a{b}'"),
        (["enqueue", "a", "-Q", "", "--redis-url", NOWHERE], "queue name ''"),
        (["status", "-Q", "\udcff", "--redis-url", NOWHERE], "can't be used: no braces, spaces or empty names"),
        (["worker", "-A", "exiting"], "'exiting' can't be used: it called sys.exit(3) when it was imported"),
        (["worker", "-A", "lazy:x"], "'lazy:x' can't be used: x of lazy raised RuntimeError: not installed"),
    ],
)
def test_wrong_configuration_is_exit_code_78(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "shop.py").write_text("number = 1\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "broken.py").write_text("raise RuntimeError('on import')\n")
    (tmp_path / "exiting.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "lazy.py").write_text("def __getattr__(name):\n    raise RuntimeError('not installed')\n")
    try:
        result = run(*arguments)
    finally:
        for module in ("shop", "empty", "broken"):
            sys.modules.pop(module, None)
    assert result.exit_code == 78
    assert says in result.stderr


def test_an_unknown_driver_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "kafka")
    result = run("status")
    assert result.exit_code == 78
    assert "JOBS_DRIVER is 'kafka'" in result.stderr


def test_beat_on_memory_refuses_jobs_that_nobody_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SCHEDULE_JSON", '[{"name": "daily", "interval_seconds": 60, "job_name": "report"}]')
    result = run("beat")
    assert result.exit_code == 78
    assert "'daily' enqueues a job" in result.stderr


def test_the_help_lists_every_command_and_the_exit_codes() -> None:
    result = run("--help")
    for word in ("worker", "beat", "enqueue", "status", "dlq", "pause", "resume", "purge", "schedule", "69", "78"):
        assert word in result.stdout


def test_schedule_list_shows_entries_and_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        {"name": "daily", "cron": "0 9 * * *", "job_name": "report", "payload": {"a": 1}},
        {"name": "bad", "cron": "nine", "job_name": "report"},
        {"name": "often", "interval_seconds": 300, "target": "os:getpid"},
    ]
    monkeypatch.setenv("JOBS_SCHEDULE_JSON", json.dumps(entries))
    result = run("schedule", "list", "--runs", "2", "--json")
    assert result.exit_code == 78
    assert "entry 1 (bad)" in result.stderr
    document = json.loads(result.stdout)
    daily, often = document["entries"]
    assert (daily["name"], daily["kind"], daily["runs"], daily["payload"]) == ("daily", "job", "report", {"a": 1})
    assert [tick[11:16] for tick in daily["next_runs"]] == ["09:00", "09:00"]
    assert daily["next_runs"][0] < daily["next_runs"][1]
    assert (often["kind"], often["runs"]) == ("function", "posix:getpid")
    assert len(document["problems"]) == 1

    monkeypatch.setenv("JOBS_SCHEDULE_JSON", json.dumps(entries[:1]))
    result = run("schedule", "list")
    assert result.exit_code == 0
    assert "daily" in result.stdout
    assert "0 9 * * *" in result.stdout


class Plugins:
    """What ``importlib.metadata.entry_points`` returns."""

    def __init__(self, *entries: EntryPoint) -> None:
        self.entries = entries

    def __call__(self, *, group: str) -> list[EntryPoint]:
        return [entry for entry in self.entries if entry.group == group]


@click.command
def hello() -> None:
    """Say hello."""
    click.echo("hello")


def test_commands_of_plugins_are_found_and_broken_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = Plugins(
        EntryPoint("hello", f"{__name__}:hello", PLUGIN_GROUP),
        EntryPoint("gone", "nosuchpackage.cli:command", PLUGIN_GROUP),
        EntryPoint("odd", f"{__name__}:Plugins", PLUGIN_GROUP),
        EntryPoint("status", f"{__name__}:hello", PLUGIN_GROUP),
    )
    monkeypatch.setattr("svcjobs.cli.program.entry_points", plugins)
    assert run("hello").stdout == "hello\n"
    listed = run("--help")
    assert listed.exit_code == 0
    assert "Say hello." in listed.stdout
    assert "command gone can't be loaded: ModuleNotFoundError" in listed.stderr
    assert "command odd can't be loaded" in listed.stderr
    assert run("gone").exit_code == 2
    # ours can't be replaced, and don't load any plugin
    ours = run("status")
    assert ours.exit_code == 78
    assert "gone" not in ours.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "svcjobs", "schedule", "list", "--json"]
        ended = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "svcjobs: No space left on device: what it prints can't be written\n"
