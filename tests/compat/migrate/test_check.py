"""``svcjobs migrate check`` reads a code base and says how its use of Celery fares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from svcjobs.cli import main
from svcjobs_celery_compat.migrate.check import Finding, Verdict, check_path
from tests.server_program import ROOT


def findings(tmp_path: Path, code: str, name: str = "proj.py") -> list[tuple[int, str, Verdict]]:
    file = tmp_path / name
    file.write_text(code)
    return [(finding.line, finding.use, finding.verdict) for finding in check_path(file)]


@pytest.mark.parametrize(
    ("code", "use", "verdict"),
    [
        ("from celery import Celery", "celery.Celery", "supported"),
        ("import celery.result", "celery.result", "supported"),
        ("from celery.utils.log import get_task_logger", "celery.utils.log.get_task_logger", "supported"),
        ("def f():\n  from celery.canvas import chord", "celery.canvas.chord", "supported"),
        ("from celery import no_such_thing", "celery.no_such_thing", "missing"),
        ("from celery.nowhere import x", "celery.nowhere.x", "missing"),
        ("from celery.signals import worker_ready", "celery.signals.worker_ready", "supported"),
        (
            "from celery.signals import worker_before_create_process",
            "celery.signals.worker_before_create_process",
            "differs",
        ),
        ("from celery.bootsteps import StartStopStep", "celery.bootsteps.StartStopStep", "differs"),
    ],
)
def test_a_name_that_is_imported(tmp_path: Path, code: str, use: str, verdict: str) -> None:
    assert findings(tmp_path, code) == [(code.count("\n") + 1, use, verdict)]


@pytest.mark.parametrize(
    "code", ["import os", "from .celery import app", "import celery_extras", "from x import celery"]
)
def test_what_is_not_celery_is_left_out(tmp_path: Path, code: str) -> None:
    assert findings(tmp_path, code) == []


@pytest.mark.parametrize(
    ("code", "use", "verdict"),
    [
        ("app.conf.task_acks_late = True", "task_acks_late", "supported"),
        ("app.conf['CELERY_ACKS_LATE'] = True", "CELERY_ACKS_LATE", "supported"),
        ("app.conf.update(timezone='UTC')", "timezone", "supported"),
        ("app.conf.update({'worker_prefetch_multiplier': 1})", "worker_prefetch_multiplier", "differs"),
        ("CELERY_TASK_ACKS_LATE = True", "CELERY_TASK_ACKS_LATE", "supported"),
        ("CELERY_OWN_SETTING: int = 3", "CELERY_OWN_SETTING", "differs"),
        ("config.from_mapping({'CELERY': {'broker_url': 'redis://h'}})", "broker_url", "differs"),
        ("app = Celery('p', broker='amqp://h')", "broker_url", "missing"),
        ("app = Celery('p', broker='svcjobs://h')", "broker_url", "supported"),
        ("app = Celery('p', broker=url)", "broker_url", "supported"),
    ],
)
def test_a_setting(tmp_path: Path, code: str, use: str, verdict: str) -> None:
    assert findings(tmp_path, code) == [(1, use, verdict)]


def test_a_configuration_module_is_read_by_its_name(tmp_path: Path) -> None:
    code = "broker_url = 'sqs://'\nimports = ('a',)\ntypo_here = 1\n_private = 2\n"
    assert findings(tmp_path, code, "celeryconfig.py") == [
        (1, "broker_url", "missing"), (2, "imports", "supported"), (3, "typo_here", "differs"),
    ]  # fmt: skip
    assert findings(tmp_path, code) == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert findings(tmp_path, "import celery\ndef (") == [(2, "file", Verdict.MISSING)]
    (tmp_path / "proj.py").write_bytes(b"x = '\xff'")
    assert [finding.use for finding in check_path(tmp_path)] == ["file"]


def test_installed_packages_are_left_out(tmp_path: Path) -> None:
    for folder in ("venv/lib", ".hidden", "node_modules"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text("import celery")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    assert check_path(tmp_path) == []


def test_the_code_is_not_run(tmp_path: Path) -> None:
    assert findings(tmp_path, "raise SystemExit\nimport celery") == [(2, "celery", "supported")]


def test_the_command_lists_what_needs_a_look_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "from celery import Celery, nothing\napp = Celery('a')\napp.conf.worker_pool = 'gevent'\n"
    )
    done = CliRunner().invoke(main, ["migrate", "check", str(tmp_path)])
    assert done.exit_code == 1, done.output
    assert "celery.nothing" in done.output
    assert f"{tmp_path / 'a.py'}:3" in done.output
    assert "celery.Celery" not in done.output
    assert done.output.splitlines()[-1] == "1 supported, 1 differs, 1 missing"
    everything = CliRunner().invoke(main, ["migrate", "check", "--all", str(tmp_path)])
    assert "celery.Celery" in everything.output


def test_the_command_prints_json_for_programs() -> None:
    done = CliRunner().invoke(main, ["migrate", "check", "--json", str(ROOT / "examples" / "django_shop")])
    assert done.exit_code == 0
    document = [Finding(**finding) for finding in json.loads(done.stdout)]
    assert {finding.use for finding in document} >= {"celery.Celery", "celery.shared_task", "CELERY_TASK_ACKS_LATE"}
