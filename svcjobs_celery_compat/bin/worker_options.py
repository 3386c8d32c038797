"""What the options of ``celery worker`` take."""

from __future__ import annotations

from typing import Any

import click
from click import ParamType
from click.types import StringParamType

from svcjobs_celery_compat import concurrency
from svcjobs_celery_compat.utils.nodenames import default_nodename, host_format
from svcjobs_celery_compat.utils.sysinfo import AUTO_CONCURRENCY


class CeleryBeat(ParamType[Any]):
    """A scheduler."""

    name = "beat"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value


class WorkersPool(click.Choice[str]):
    """A pool by its name."""

    name = "pool"

    def __init__(self) -> None:
        super().__init__(concurrency.get_available_pool_names())

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, type):
            return value
        value = super().convert(value, param, ctx) if value in concurrency.ALIASES else value
        return concurrency.get_implementation(value) or concurrency.get_implementation(ctx.obj.app.conf.worker_pool)


class Hostname(StringParamType):
    """A worker's name, with ``%h``, ``%n`` and ``%d`` replaced."""

    name = "hostname"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return host_format(default_nodename(value))


class Autoscale(ParamType[Any]):
    """Two numbers of workers."""

    name = "<min workers>, <max workers>"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, tuple):
            return value
        numbers = str(value).split(",")
        if len(numbers) > 2:
            self.fail(f"Expected two comma separated integers or one integer. Got {len(numbers)} instead.")
        try:
            found = [int(number) for number in numbers]
        except ValueError:
            self.fail(f"Expected two comma separated integers. Got {value} instead.")
        return (found[0], found[1] if len(found) == 2 else 0)


def pool_name(ctx: click.Context, _param: Any, value: Any) -> Any:
    """A pool that there is, or what the setting says."""
    if not value:
        return ctx.obj.app.conf.worker_pool
    try:
        concurrency.get_implementation(value)
    except (ImportError, AttributeError, ValueError):
        names = ", ".join(concurrency.get_available_pool_names())
        raise click.BadParameter(f"{value!r} is no pool: give one of {names}, or module:Class") from None
    return value


def concurrency_value(ctx: click.Context, _param: Any, value: Any) -> Any:
    """A number, ``auto``, or what the setting says."""
    configured = ctx.obj.app.conf.worker_concurrency
    if value is None or value == "":
        return configured
    text = str(value).strip().lower()
    if text == AUTO_CONCURRENCY:
        return AUTO_CONCURRENCY
    try:
        number = int(text)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number: give a number of tasks, or 'auto'") from None
    if number < 0:
        raise click.BadParameter(f"{value!r} is negative: give a number of tasks, or 'auto'")
    return number or configured


def setting(name: str) -> Any:
    """A callback: the given value, else that of a setting."""
    return lambda ctx, _, value: getattr(ctx.obj.app.conf, name) if value is None else value
