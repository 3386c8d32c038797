"""What the commands have in common: their context, options and types of arguments."""

from __future__ import annotations

import json
import numbers
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property, update_wrapper
from inspect import Parameter, signature
from pprint import pformat
from typing import Any, TypeVar

import click
from click import Context, ParamType

from svcjobs_celery_compat._state import get_current_app
from svcjobs_celery_compat.exceptions import CeleryCommandException, OperationalError
from svcjobs_celery_compat.platforms import EX_UNAVAILABLE
from svcjobs_celery_compat.signals import user_preload_options
from svcjobs_celery_compat.utils import text
from svcjobs_celery_compat.utils.log import mlevel
from svcjobs_celery_compat.utils.time import maybe_iso8601

F = TypeVar("F", bound=Callable[..., Any])


class CLIContext:
    """What the group hands to its commands.

    Args:
        app: the app.
        no_color: write no colors.
        workdir: the folder that the command works in.
        quiet: say only what was asked for.
    """

    def __init__(self, app: Any, no_color: bool | None, workdir: str | None, quiet: bool = False) -> None:
        self.app = app or get_current_app()
        self.no_color = no_color
        self.quiet = quiet
        self.workdir = workdir

    @cached_property
    def OK(self) -> str:
        """``OK``, green."""
        return self.style("OK", fg="green", bold=True)

    @cached_property
    def ERROR(self) -> str:
        """``ERROR``, red."""
        return self.style("ERROR", fg="red", bold=True)

    def style(self, message: Any = None, **kwargs: Any) -> str:
        """`message` in a style, where colors are on."""
        return str(message) if self.no_color else click.style(message, **kwargs)

    def secho(self, message: Any = None, **kwargs: Any) -> None:
        """Write `message` in a style."""
        if self.no_color:
            kwargs["color"] = False
        click.secho(message, **kwargs)

    def echo(self, message: Any = None, **kwargs: Any) -> None:
        """Write `message`."""
        if self.no_color:
            kwargs["color"] = False
        click.echo(message, **kwargs)

    def error(self, message: Any = None, **kwargs: Any) -> None:
        """Write `message` to stderr."""
        kwargs["err"] = True
        self.secho(message, **kwargs)

    def pretty(self, n: Any) -> tuple[str, str]:
        """A verdict, and a readable form, of an answer."""
        if isinstance(n, list):
            return self.OK, self.pretty_list(n)
        if isinstance(n, dict):
            if "ok" in n or "error" in n:
                return self.pretty_dict_ok_error(n)
            return self.OK, json.dumps(n, sort_keys=True, indent=4)
        return self.OK, n if isinstance(n, str) else pformat(n)

    def pretty_list(self, n: list[Any]) -> str:
        """A list, an entry a line."""
        if not n:
            return "- empty -"
        return "\n".join(f"{self.style('*', fg='white')} {item}" for item in n)

    def pretty_dict_ok_error(self, n: dict[str, Any]) -> tuple[str, str]:
        """An answer of remote control."""
        if "ok" in n:
            return self.OK, text.indent(self.pretty(n["ok"])[1], 4)
        return self.ERROR, text.indent(self.pretty(n["error"])[1], 4)

    def say_chat(self, direction: str, title: str, body: Any = "", show_body: bool = False) -> None:
        """Write what went to workers, or came from them."""
        if direction == "<-" and self.quiet:
            return
        dirstr = self.style(f"{direction} ", fg="white", bold=True) if not self.quiet else ""
        self.echo(f"{dirstr} {title}")
        if body and show_body:
            self.echo(body)


def handle_preload_options(f: F) -> F:
    """Decorator: send :signal:`user_preload_options` with the app's ``user_options["preload"]``, where there are any.

    The function gets those of them that it has parameters for. What is decorated twice sends once.
    """
    if getattr(f, "_handles_preload_options", False):
        return f
    parameters = signature(f).parameters.values()
    takes_all = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    taken = {parameter.name for parameter in parameters}

    def caller(*args: Any, **kwargs: Any) -> Any:
        context: Any = args[0] if args else click.get_current_context()
        app = context.obj.app
        names = [option.name for option in app.user_options["preload"] if option.name in kwargs]
        if names:
            user_preload_options.send(sender=f, app=app, options={name: kwargs[name] for name in names})
        for name in names:
            if not (takes_all or name in taken):
                del kwargs[name]
        return f(*args, **kwargs)

    wrapped: Any = update_wrapper(caller, f)
    wrapped._handles_preload_options = True  # click copies it to what it makes of the function
    return wrapped  # type: ignore[no-any-return]  # a function like the given one


class CeleryOption(click.Option):
    """An option with a group in the help, and perhaps its default from the context or from the app's settings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.help_group = kwargs.pop("help_group", None)
        self.default_value_from_context = kwargs.pop("default_value_from_context", None)
        super().__init__(*args, **kwargs)

    def get_default(self, ctx: Context, *args: Any, **kwargs: Any) -> Any:
        if self.default_value_from_context:
            self.default = ctx.obj[self.default_value_from_context]
        return super().get_default(ctx, *args, **kwargs)


class CeleryCommand(click.Command):
    """A command whose help groups the options."""

    def format_options(self, ctx: Context, formatter: click.HelpFormatter) -> None:
        groups: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "help_group", None) or "Options", []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class DaemonOption(CeleryOption):
    """An option of a program that runs in the background; its default is the setting ``<command>_<option>``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args,
            help_group=kwargs.pop("help_group", "Daemonization Options"),
            callback=kwargs.pop("callback", self.daemon_setting),
            **kwargs,
        )

    def daemon_setting(self, ctx: Context, opt: CeleryOption, value: Any) -> Any:
        """The given value, else that of the setting."""
        return value or getattr(ctx.obj.app.conf, f"{ctx.command.name}_{self.name}", None)


class CeleryDaemonCommand(CeleryCommand):
    """A command that can run in the background."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(
            (
                DaemonOption(["--logfile", "-f"], help="Log destination; defaults to stderr"),
                DaemonOption(["--pidfile"], help="PID file path; defaults to no PID file"),
                DaemonOption(["--uid"], help="Drops privileges to this user ID"),
                DaemonOption(["--gid"], help="Drops privileges to this group ID"),
                DaemonOption(["--umask"], help="Create files and directories with this umask"),
                DaemonOption(["--executable"], help="Override path to the Python executable"),
            )
        )


class CommaSeparatedList(ParamType[Any]):
    """``a,b`` as a list."""

    name = "comma separated list"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return text.str_to_list(value)


class JsonArray(ParamType[Any]):
    """A JSON array."""

    name = "json array"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, list):
            return value
        return _json(self, value, param, ctx, list, "array")


class JsonObject(ParamType[Any]):
    """A JSON object."""

    name = "json object"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, dict):
            return value
        return _json(self, value, param, ctx, dict, "object")


def _json(kind: ParamType[Any], value: str, param: Any, ctx: Any, wanted: type, what: str) -> Any:
    try:
        read = json.loads(value)
    except ValueError as exc:
        kind.fail(str(exc), param, ctx)
    if not isinstance(read, wanted):
        kind.fail(f"{value} was not an {what}", param, ctx)
    return read


class ISO8601DateTime(ParamType[Any]):
    """An instant in ISO 8601."""

    name = "iso-86091"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return maybe_iso8601(value)
        except (TypeError, ValueError) as exc:
            return self.fail(str(exc), param, ctx)


class ISO8601DateTimeOrFloat(ParamType[Any]):
    """An instant, or seconds from now."""

    name = "iso-86091 or float"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
        try:
            return maybe_iso8601(value)
        except (TypeError, ValueError) as exc:
            return self.fail(str(exc), param, ctx)


class LogLevel(click.Choice[str]):
    """A level of the log, by name or number."""

    def __init__(self) -> None:
        super().__init__(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"))

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, numbers.Integral):
            return value
        name = super().convert(str(value).upper(), param, ctx)
        return mlevel(name)


JSON_ARRAY = JsonArray()
JSON_OBJECT = JsonObject()
ISO8601 = ISO8601DateTime()
ISO8601_OR_FLOAT = ISO8601DateTimeOrFloat()
LOG_LEVEL = LogLevel()
COMMA_SEPARATED_LIST = CommaSeparatedList()


def handle_remote_command_error(command: str, exc: Exception) -> None:
    """End a command that couldn't reach workers, with a sentence.

    Raises:
        click.ClickException: always; the exit code is that of a service that isn't there.
    """
    if isinstance(exc, click.exceptions.Exit | click.ClickException | click.Abort):
        raise exc
    if isinstance(exc, OperationalError):
        message = f"Could not connect to the message broker.\nReason: {exc}"
    else:
        message = f"Unable to run the `{command}` command. Reason: {exc}"
    raise CeleryCommandException(message, EX_UNAVAILABLE) from exc
