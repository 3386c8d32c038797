"""The application that ``-A`` or the environment names."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import click

from svcjobs.application import Application, as_application
from svcjobs.errors import ConfigurationError
from svcjobs.settings import HandlerSettings
from svcjobs.targets import TargetModuleMissing, resolve_module, resolve_target

USUAL_NAMES = ("registry", "app", "celery", "handler")
"""Looked for, in this order, when a target names only a module."""

application_option = click.option(
    "-A", "--app", "target", metavar="MODULE[:NAME]",
    help="The application. Default: JOBS_REGISTRY_TARGET, or JOBS_HANDLER_TARGET.",
)  # fmt: skip


def find_application(target: str | None) -> Application | None:
    """The application of ``target``, else of JOBS_REGISTRY_TARGET or JOBS_HANDLER_TARGET; None when none is named.

    ``module:attribute`` names a registry, an application, a handler, or a function without parameters that makes
    one of these; ``module`` alone is searched for one. The current folder is importable.

    Raises:
        ConfigurationError: the target can't be imported, or is none of these.
    """
    settings = HandlerSettings.from_environment()
    target = target or settings.registry_target or settings.handler_target
    _enter_folder()
    return None if target is None else as_application(find_target(target))


def find_target(target: str) -> Any:
    """The object that ``target`` names, as :func:`find_application` finds it; what a factory makes.

    Raises:
        ConfigurationError: the target can't be imported.
    """
    _enter_folder()
    found = resolve_target(target) if ":" in target else _search(target)
    return found() if _is_factory(found) else found


def _enter_folder() -> None:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # for the targets of the schedule too


def _search(module: str) -> Any:
    names = vars(resolve_module(module))
    for name in USUAL_NAMES:
        if callable(names.get(name)) or _is_application(names.get(name)):
            return names[name]
    applications = {id(value): value for value in names.values() if _is_application(value)}
    if len(applications) == 1:
        return applications.popitem()[1]
    if applications:
        raise ConfigurationError(f"{module} holds several applications: say which, as {module}:name")
    try:
        # where Celery's users keep theirs
        return resolve_target(f"{module}.celery:app")
    except TargetModuleMissing:
        raise ConfigurationError(
            f"{module} holds no application: write {module}:name, or call it {' or '.join(USUAL_NAMES)}"
        ) from None


def _is_application(value: object) -> bool:
    foreign = ("__svcjobs_application__", "__svcjobs_commands__")
    known = isinstance(value, Application) or any(hasattr(type(value), name) for name in foreign)
    return known and not isinstance(value, type)


def _is_factory(found: object) -> bool:
    """Whether it is a plain function that takes nothing, so that it can't be a handler."""
    return inspect.isfunction(found) and not inspect.signature(found).parameters
