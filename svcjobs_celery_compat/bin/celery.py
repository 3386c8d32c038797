"""The program ``celery``: its global options, and its commands."""

from __future__ import annotations

import os
import sys
import traceback
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

import click

from svcjobs_celery_compat import VERSION_BANNER
from svcjobs_celery_compat.app.utils import find_app
from svcjobs_celery_compat.bin.base import CLIContext, handle_preload_options

TARGET = "svcjobs_celery_compat.app"
"""Where the context keeps what ``-A`` was given."""
UNABLE_TO_LOAD_APP_MODULE_NOT_FOUND = """
Unable to load celery application.
The module {0} was not found."""
UNABLE_TO_LOAD_APP_ERROR_OCCURRED = """
Unable to load celery application.
While trying to load the module {0} the following error occurred:
{1}"""
UNABLE_TO_LOAD_APP_APP_MISSING = """
Unable to load celery application.
{0}"""


class App(click.ParamType[Any]):
    """An app by the name of its module."""

    name = "application"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            app = find_app(value)
            if ctx is not None:
                ctx.meta[TARGET] = value  # for those that import it in other processes
            return app
        except ModuleNotFoundError as exc:
            if exc.name != value and not str(value).startswith(f"{exc.name}."):
                self.fail(UNABLE_TO_LOAD_APP_ERROR_OCCURRED.format(value, traceback.format_exc()), param, ctx)
            self.fail(UNABLE_TO_LOAD_APP_MODULE_NOT_FOUND.format(value))
        except AttributeError as exc:
            attribute = exc.args[0] if exc.args else exc
            self.fail(UNABLE_TO_LOAD_APP_APP_MISSING.format(str(attribute)))
        except Exception:  # noqa: BLE001 - whatever the user's module raises
            self.fail(UNABLE_TO_LOAD_APP_ERROR_OCCURRED.format(value, traceback.format_exc()), param, ctx)


APP = App()


class Program(click.Group):
    """The group; commands are imported when they are used, those of plugins (``celery.commands``) too."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *_COMMANDS, *(entry.name for entry in entry_points(group="celery.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            command = _load(cmd_name)
            if command is not None:
                self.add_command(command, cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = get_close_matches(args[0], self.list_commands(ctx), n=3, cutoff=0.5)
            if not close:
                raise
            known = "\n    ".join(close)
            raise click.UsageError(f"{error.message}\n\nDid you mean one of these?\n    {known}", ctx) from None


_COMMANDS = {
    "amqp": "amqp:amqp",
    "beat": "beat:beat",
    "call": "call:call",
    "control": "control:control",
    "events": "events:events",
    "graph": "graph:graph",
    "inspect": "control:inspect",
    "list": "list:list_",
    "logtool": "logtool:logtool",
    "migrate": "migrate:migrate",
    "multi": "multi:multi",
    "purge": "purge:purge",
    "report": "celery:report",
    "result": "result:result",
    "shell": "shell:shell",
    "status": "control:status",
    "upgrade": "upgrade:upgrade",
    "worker": "worker:worker",
}


def _load(name: str) -> click.Command | None:
    from importlib import import_module

    if name in _COMMANDS:
        module, _, attribute = _COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"svcjobs_celery_compat.bin.{module}"), attribute)
        return command
    for entry in entry_points(group="celery.commands", name=name):
        try:
            loaded: click.Command = entry.load()
        except Exception as exc:  # noqa: BLE001 - whatever a plugin's import raises, our own commands go on
            click.echo(f"celery: the command {name} can't be loaded: {type(exc).__name__}: {exc}", err=True)
            return None
        return loaded
    return None


@click.group(cls=Program, name="celery", invoke_without_command=True)
@click.option("-A", "--app", envvar="APP", type=APP)
@click.option("-b", "--broker", envvar="BROKER_URL")
@click.option("--result-backend", envvar="RESULT_BACKEND")
@click.option("--loader", envvar="LOADER")
@click.option("--config", envvar="CONFIG_MODULE")
@click.option("--workdir", type=click.Path(exists=True, file_okay=False), is_eager=True, expose_value=True,
              callback=lambda ctx, param, value: _enter(value))  # fmt: skip
@click.option("-C", "--no-color", envvar="NO_COLOR", is_flag=True)
@click.option("-q", "--quiet", is_flag=True)
@click.option("--version", is_flag=True)
@click.option("--skip-checks", envvar="SKIP_CHECKS", is_flag=True,
              help="Skip Django core checks on startup.")  # fmt: skip
@click.pass_context
def celery(  # noqa: C901 - one step for each option
    ctx: click.Context,
    app: Any,
    broker: str | None,
    result_backend: str | None,
    loader: str | None,
    config: str | None,
    workdir: str | None,
    no_color: bool,
    quiet: bool,
    version: bool,
    skip_checks: bool,
) -> None:
    """Celery command entrypoint."""
    if version:
        click.echo(VERSION_BANNER)
        ctx.exit()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()
    if loader:
        # read when the default app is made
        os.environ["CELERY_LOADER"] = loader
    if broker:
        os.environ["CELERY_BROKER_URL"] = broker
    if result_backend:
        os.environ["CELERY_RESULT_BACKEND"] = result_backend
    if config:
        os.environ["CELERY_CONFIG_MODULE"] = config
    if skip_checks:
        os.environ["CELERY_SKIP_CHECKS"] = "true"
    ctx.obj = CLIContext(app=app, no_color=no_color, workdir=workdir, quiet=quiet)
    command = celery.get_command(ctx, ctx.invoked_subcommand)
    given = ctx.obj.app.user_options
    for name in ("worker", "beat", "events"):
        if ctx.invoked_subcommand == name and command is not None:
            command.params.extend(given[name])
    if command is not None and given["preload"]:
        command.params.extend(given["preload"])
        if command.callback is not None:
            command.callback = handle_preload_options(command.callback)


def _enter(workdir: str | None) -> str | None:
    if workdir:
        os.chdir(workdir)
        if workdir not in sys.path:
            sys.path.insert(0, workdir)
    return workdir


@click.command()
@click.pass_context
def report(ctx: click.Context, /, **kwargs: Any) -> None:
    """Shows information useful to include in bug-reports."""
    app = ctx.obj.app
    app.loader.import_default_modules()
    ctx.obj.echo(app.bugreport())


def main() -> int:
    """Start the program."""
    code: int = celery(auto_envvar_prefix="CELERY")
    return code
