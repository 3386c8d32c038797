"""``celery status``, ``celery inspect`` and ``celery control``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click
from kombu.utils.json import dumps

from svcjobs_celery_compat.bin.base import (
    COMMA_SEPARATED_LIST,
    CeleryCommand,
    CeleryOption,
    handle_preload_options,
    handle_remote_command_error,
)
from svcjobs_celery_compat.exceptions import CeleryCommandException
from svcjobs_celery_compat.platforms import EX_UNAVAILABLE
from svcjobs_celery_compat.utils import text
from svcjobs_celery_compat.worker.control import Panel

REMOTE = "Remote Control Options"

_timeout = partial(
    click.option, "-t", "--timeout", cls=CeleryOption, type=float, help_group=REMOTE,
    help="Timeout in seconds waiting for reply.",
)  # fmt: skip
_destination = click.option(
    "-d", "--destination", cls=CeleryOption, type=COMMA_SEPARATED_LIST, help_group=REMOTE,
    help="Comma separated list of destination node names.",
)  # fmt: skip
_json = click.option(
    "-j", "--json", cls=CeleryOption, is_flag=True, help_group=REMOTE, help="Use json as output format."
)


def _say_remote_command_reply(ctx: click.Context, /, replies: dict[str, Any], show_reply: bool = False) -> None:
    node = next(iter(replies))
    status, preply = ctx.obj.pretty(replies[node])
    ctx.obj.say_chat("->", f"{node}: {status}", text.indent(preply, 4) if show_reply else "", show_body=show_reply)


def _consume_arguments(meta: Any, method: str, args: list[str]) -> dict[str, Any]:
    """The arguments of a command from those of the command line."""
    given = list(args)
    arguments: dict[str, Any] = {}
    for name, kind in meta.args or ():
        if not given:
            break
        arguments[name] = kind(given.pop(0))
    if meta.variadic:
        arguments[meta.variadic] = given
    elif given:
        raise click.UsageError(f"Command {method!r} takes arguments: {meta.signature or 'none'}")
    return arguments


def _list_option(action: str) -> Callable[[Any], Any]:
    def show(ctx: click.Context, /, _param: Any, value: bool) -> None:
        if not value or ctx.resilient_parsing:
            return
        # the app's module may have added some; click has read -A already
        ctx.obj.app.loader.import_default_modules()
        known = _commands(action)
        formatter = click.HelpFormatter()
        formatter.write_heading(f"{action.capitalize()} Commands")
        with formatter.indentation():
            formatter.write_dl([(f"{name} {meta.signature or ''}".strip(), meta.help or "") for name, meta in known])
        ctx.obj.echo(formatter.getvalue(), nl=False)
        ctx.exit()

    return click.option(
        "--list", "list_", is_flag=True, is_eager=True, expose_value=False, callback=show,
        help=f"List available {action} commands and exit.",
    )  # fmt: skip


def _commands(action: str) -> list[tuple[str, Any]]:
    return sorted((name, meta) for name, meta in Panel.meta.items() if meta.type == action and meta.visible)


def _check(action: str, command: str) -> None:
    names = {name: meta for name, meta in Panel.meta.items() if meta.type == action}
    aliases = {meta.alias for meta in names.values()}
    if command not in names and command not in aliases:
        available = ", ".join(name for name, _ in _commands(action))
        raise click.UsageError(f"Command {command} not recognized. Available {action} commands: {available}")


def _meta(command: str) -> Any:
    if command in Panel.meta:
        return Panel.meta[command]
    return next(meta for meta in Panel.meta.values() if meta.alias == command)


@click.command(cls=CeleryCommand)
@_timeout(default=1.0)
@_destination
@_json
@click.pass_context
@handle_preload_options
def status(ctx: click.Context, /, timeout: float, destination: Any, json: bool, **kwargs: Any) -> None:
    """Show list of workers that are online."""
    callback = None if json else partial(_say_remote_command_reply, ctx)
    try:
        replies = ctx.obj.app.control.inspect(timeout=timeout, destination=destination, callback=callback).ping()
    except Exception as exc:  # noqa: BLE001 - told as a sentence
        handle_remote_command_error("status", exc)
    if not replies:
        raise CeleryCommandException(message="No nodes replied within time constraint", exit_code=EX_UNAVAILABLE)
    if json:
        ctx.obj.echo(dumps(replies))
    nodecount = len(replies)
    if not kwargs.get("quiet", False) and not json:
        ctx.obj.echo(f"\n{nodecount} {text.pluralize(nodecount, 'node')} online.")


@click.command(cls=CeleryCommand, context_settings={"allow_extra_args": True})
@click.argument("command")
@_timeout(default=1.0)
@_destination
@_json
@_list_option("inspect")
@click.pass_context
@handle_preload_options
def inspect(ctx: click.Context, /, command: str, timeout: float, destination: Any, json: bool, **kwargs: Any) -> None:
    """Inspect the workers by sending them the COMMAND inspect command."""
    _check("inspect", command)
    callback = None if json else partial(_say_remote_command_reply, ctx, show_reply=True)
    arguments = _consume_arguments(_meta(command), command, ctx.args)
    try:
        inspection = ctx.obj.app.control.inspect(timeout=timeout, destination=destination, callback=callback)
        replies = inspection._request(command, **arguments)
    except Exception as exc:  # noqa: BLE001 - told as a sentence
        handle_remote_command_error(f"inspect {command}", exc)
    if not replies:
        raise CeleryCommandException(message="No nodes replied within time constraint", exit_code=EX_UNAVAILABLE)
    if json:
        ctx.obj.echo(dumps(replies))
        return
    nodecount = len(replies)
    if not ctx.obj.quiet:
        ctx.obj.echo(f"\n{nodecount} {text.pluralize(nodecount, 'node')} online.")


@click.command(cls=CeleryCommand, context_settings={"allow_extra_args": True})
@click.argument("command")
@_timeout(default=1.0)
@_destination
@_json
@_list_option("control")
@click.pass_context
@handle_preload_options
def control(ctx: click.Context, /, command: str, timeout: float, destination: Any, json: bool) -> None:
    """Send the COMMAND control command to the workers."""
    _check("control", command)
    callback = None if json else partial(_say_remote_command_reply, ctx, show_reply=True)
    arguments = _consume_arguments(_meta(command), command, ctx.args)
    try:
        replies = _send(ctx.obj.app.control, command, arguments, timeout, destination, callback)
    except Exception as exc:  # noqa: BLE001 - told as a sentence
        handle_remote_command_error(f"control {command}", exc)
    if not replies:
        raise CeleryCommandException(message="No nodes replied within time constraint", exit_code=EX_UNAVAILABLE)
    if json:
        ctx.obj.echo(dumps(replies))


def _send(remote: Any, command: str, arguments: dict[str, Any], timeout: float, destination: Any, callback: Any) -> Any:
    common = {"timeout": timeout, "destination": destination, "callback": callback, "reply": True}
    if command == "revoke":  # kept in Redis too, which the message alone wouldn't do
        return remote.revoke(arguments.get("task_id"), **common)
    return remote.broadcast(command, arguments=arguments, **common)
