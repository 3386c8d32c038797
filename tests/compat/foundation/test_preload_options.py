"""A project's ``user_options["preload"]`` reach each command, and the signal, as with real Celery."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

COMMANDS = ("plain", "decorated", "twice", "own", "every", "bare")


@pytest.mark.parametrize("given", [[], ["--ini", "x.ini"], ["--ini", ""], ["--debug"]], ids=repr)
@pytest.mark.parametrize("options", [False, True], ids=["without", "with"])
def test_commands_and_signal_get_what_celery_gives_them(
    options: bool, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if given and not options:
        assert {_seen("svcjobs_celery_compat", given, options, monkeypatch)[name][0] for name in COMMANDS} == {2}
        return
    ours, theirs = (_seen(library, given, options, monkeypatch) for library in ("svcjobs_celery_compat", "celery"))
    assert ours == theirs
    assert all(code == 0 for code, *_ in ours.values())
    assert all(len(sent) == options for _, sent, _ in ours.values())


def _seen(library: str, given: list[str], options: bool, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """By command: its exit code, what the signal told, and what the command got."""
    base = importlib.import_module(f"{library}.bin.base")
    program = importlib.import_module(f"{library}.bin.celery").celery
    signal = importlib.import_module(f"{library}.signals").user_preload_options
    app = importlib.import_module(library).Celery("preload", broker="memory://", set_as_current=False)
    if options:
        app.user_options["preload"].add(click.Option(("--ini",), default="default.ini"))
        app.user_options["preload"].add(click.Option(("--debug",), is_flag=True))
    module = ModuleType("preload_project")
    module.app = app  # type: ignore[attr-defined]  # as in a project
    monkeypatch.setitem(sys.modules, module.__name__, module)
    sent: list[Any] = []

    def receive(app: Any = None, options: Any = None, **_: Any) -> None:
        sent.append(dict(options))

    signal.connect(receive)
    try:
        return {name: _run(program, command, given, sent) for name, command in _commands(base)}
    finally:
        signal.disconnect(receive)


def _run(program: Any, command: Any, given: list[str], sent: list[Any]) -> tuple[int, list[Any], Any]:
    program.add_command(command)
    try:
        done = CliRunner().invoke(program, ["-A", "preload_project", command.name, *given])
    finally:
        del program.commands[command.name]
    told, sent[:] = list(sent), []
    return done.exit_code, told, done.output if done.exit_code == 0 else ""


def _commands(base: Any) -> list[tuple[str, Any]]:
    def plain(_: Any) -> None:
        click.echo("plain")

    def own(_: Any, ini: str = "none") -> None:
        click.echo(f"own {ini}")

    def every(_: Any, **kwargs: Any) -> None:
        click.echo(sorted(kwargs.items()))

    handle = base.handle_preload_options
    return [
        ("plain", click.command("plain")(click.pass_context(plain))),
        ("decorated", click.command("decorated")(click.pass_context(handle(plain)))),
        ("twice", click.command("twice")(click.pass_context(handle(handle(plain))))),
        ("own", click.command("own")(click.pass_context(own))),
        ("every", click.command("every")(click.pass_context(every))),
        ("bare", click.command("bare")(lambda: click.echo("bare"))),
    ]
