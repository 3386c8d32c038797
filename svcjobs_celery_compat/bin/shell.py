"""``celery shell``."""

from __future__ import annotations

import code
import importlib
import importlib.util
import os
import sys
from typing import Any

import click

from svcjobs_celery_compat.bin.base import CeleryCommand, CeleryOption, handle_preload_options

SHELL = "Shell Options"


def _ipython(names: dict[str, Any]) -> None:
    importlib.import_module("IPython").start_ipython(argv=[], user_ns=names)


def _bpython(names: dict[str, Any]) -> None:
    importlib.import_module("bpython").embed(names)


def _python(names: dict[str, Any]) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:
        pass  # a shell without completion
    else:
        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab:complete")
    code.interact(local=names)


def _available(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@click.command(cls=CeleryCommand)
@click.option("-I", "--ipython", is_flag=True, cls=CeleryOption, help_group=SHELL, help="Force IPython.")
@click.option("-B", "--bpython", is_flag=True, cls=CeleryOption, help_group=SHELL, help="Force bpython.")
@click.option("--python", is_flag=True, cls=CeleryOption, help_group=SHELL, help="Force default Python shell.")
@click.option(
    "-T", "--without-tasks", is_flag=True, cls=CeleryOption, help_group=SHELL, help="Don't add tasks to locals."
)
@click.pass_context
@handle_preload_options
def shell(
    ctx: click.Context, /, ipython: bool = False, bpython: bool = False, python: bool = False,
    without_tasks: bool = False, **kwargs: Any,
) -> None:  # fmt: skip
    """Start shell session with convenient access to celery symbols.

    The app is ``app`` and ``celery``; ``chord``, ``group``, ``chain``, ``chunks``, ``xmap``, ``xstarmap``, ``subtask``,
    ``Task`` and all registered tasks go by their names.
    """
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - an entry of the path is text
    import svcjobs_celery_compat as celery

    app = ctx.obj.app
    app.loader.import_default_modules()
    names: dict[str, Any] = {"app": app, "celery": app}
    for name in ("Task", "chain", "chord", "chunks", "group", "subtask", "xmap", "xstarmap"):
        names[name] = getattr(celery, name)
    if not without_tasks:
        own = {task.__name__: task for task in app.tasks.values() if not task.name.startswith("celery.")}
        names = {**own, **names}
    if python:
        _python(names)
    elif (bpython or not ipython) and _available("bpython"):
        _bpython(names)
    elif _available("IPython"):
        _ipython(names)
    else:
        _python(names)
