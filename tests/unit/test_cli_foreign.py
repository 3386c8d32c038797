"""Commands that an application of another framework has its own of."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from svcjobs.cli.foreign import ForeignCommand

MODULE = """
told = []


class Foreign:
    __svcjobs_commands__ = {"run": lambda target, arguments: told.append((target, arguments))}


app = Foreign()


def handler(job):
    pass
"""


@click.command(cls=ForeignCommand, name="run")
@click.option("-A", "--app", "target")
@click.option("-n", "number", type=int)
def run(target: str | None, number: int | None) -> None:
    """A command of our own."""
    click.echo(f"ours {target} {number}")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"foreign_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize("form", ["-A {}:app", "-A{}:app", "--app={}:app", "--app {}:app", "-A {}"])
def test_its_command_gets_the_other_arguments_unread(module: str, form: str) -> None:
    target = form.format(module)
    result = CliRunner().invoke(run, [*target.split(), "-Z", "--max-interval=3", "a"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    told = __import__(module).told
    assert told == [(target.removeprefix("--app").removeprefix("-A").lstrip("= "), ["-Z", "--max-interval=3", "a"])]


@pytest.mark.parametrize("arguments", [["-A", "{}:handler", "-n", "3"], ["-n", "3"]])
def test_ours_runs_for_all_others(module: str, arguments: list[str]) -> None:
    result = CliRunner().invoke(run, [part.format(module) for part in arguments], catch_exceptions=False)
    assert result.output.startswith("ours")
    assert result.output.endswith(" 3\n")
