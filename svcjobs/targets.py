"""From the text ``module:function`` to the object it names.

Only settings and the command line are resolved, never anything that came with a job.
"""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from svcjobs.errors import ConfigurationError

_FORM = "write module:function, such as myapp.tasks:cleanup"


class TargetModuleMissing(ConfigurationError, ModuleNotFoundError):
    """The module of a target doesn't exist; ``name`` says which."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class TargetAttributeMissing(ConfigurationError, AttributeError):
    """The module of a target has no such attribute."""


def resolve_target(target: str) -> Any:
    """The object that ``target`` names; its module is imported.

    Args:
        target: ``module:attribute``; both may be dotted, ``pkg.mod:Class.method`` for example.

    Raises:
        ConfigurationError: the text has another form, or importing the module raised.
        TargetModuleMissing: no such module; also a ModuleNotFoundError.
        TargetAttributeMissing: no such attribute; also an AttributeError.
    """
    module_name, colon, path = target.strip().partition(":")
    names = [*module_name.split("."), *path.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise ConfigurationError(f"{target!r} names no function: {_FORM}")
    found: Any = _imported(module_name, target)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            where = getattr(found, "__name__", module_name)
            raise TargetAttributeMissing(
                f"{target!r} can't be used: {where} has no attribute {name!r}; check the spelling after the colon"
            ) from None
        except Exception as error:  # a module that imports lazily
            raise ConfigurationError(
                f"{target!r} can't be used: {name} of {module_name} raised {type(error).__name__}: {error}"
            ) from error
    return found


def resolve_module(name: str) -> ModuleType:
    """The module called ``name``, imported.

    Raises:
        ConfigurationError: it isn't a module's name, or importing it raised.
        TargetModuleMissing: no such module.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(f"{name!r} names no module: write it like myapp.tasks")
    return _imported(name, name)


def _imported(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise ConfigurationError(
                f"{target!r} can't be used: {name} imports {missing}, which isn't installed"
            ) from error
        raise TargetModuleMissing(
            f"{target!r} can't be used: there is no module {missing!r}; check the spelling, the current folder, "
            "and that the package is installed",
            missing,
        ) from None
    except SystemExit as leaving:
        raise ConfigurationError(
            f"{target!r} can't be used: it called sys.exit({leaving.code!r}) when it was imported"
        ) from leaving
    except Exception as error:
        raise ConfigurationError(
            f"{target!r} can't be used: importing {name} raised {type(error).__name__}: {error}{_where(error)}"
        ) from error


def _where(error: Exception) -> str:
    """The line that raised it, which the text of a SyntaxError names by itself."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return ""
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
