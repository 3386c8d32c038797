"""Serves the import name ``celery``, and each of its submodules, from this package.

For code and third-party packages that can't be edited: after ``import svcjobs_celery_compat.alias``, before anything
imports celery, ``import celery`` gives this package. The modules are the same objects under both names, so classes are
too, and pickles that name ``celery.…`` are read. ``importlib.metadata`` tells the version of Celery that this package
follows, for those who choose by it. A module that isn't here is a ModuleNotFoundError, never one of a
Celery that is installed as well.

Three ways to switch it on:

- ``import svcjobs_celery_compat.alias``, first thing in the program;
- SVCJOBS_AS_CELERY=1 in the environment: the wheel installs ``svcjobs_as_celery.pth``, which Python reads at its start,
  and which imports this module then. Nothing else happens without the variable;
- ``svcjobs worker --as-celery``.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from svcjobs_celery_compat.names import CELERY, PACKAGE, own_name

__all__ = ("AliasError", "install", "serve")


class AliasError(ImportError):
    """Celery itself was imported already, so its modules and ours would be mixed."""


class _Loader(importlib.abc.InspectLoader):
    """Hands out the module of another name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        # the import system is about to put the alias's spec in its place
        self.own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the module was executed under its own name
        module.__spec__ = self.own_spec

    def _spec(self) -> Any:
        return importlib.util.find_spec(self.name)

    # `python -m celery` asks for the code

    def get_code(self, fullname: str) -> CodeType | None:
        return self._spec().loader.get_code(self.name)  # type: ignore[no-any-return]  # of any loader

    def get_source(self, fullname: str) -> str | None:
        return self._spec().loader.get_source(self.name)  # type: ignore[no-any-return]  # of any loader

    def is_package(self, fullname: str) -> bool:
        return self._spec().submodule_search_locations is not None


class _Distribution(Distribution):
    """``celery`` as if it were installed: its name and version, and no files."""

    def read_text(self, filename: str) -> str | None:
        version = importlib.import_module(PACKAGE).__version__
        return f"Metadata-Version: 2.1\nName: {CELERY}\nVersion: {version}\n" if filename == "METADATA" else None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return Path(__file__).parent / path


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``celery`` and what is below it."""

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        name = None if context is None else context.name
        return [_Distribution()] if name is not None and name.lower() == CELERY else []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = own_name(fullname)
        if name == fullname:
            return None
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError as exc:
            if exc.name is None or own_name(exc.name) != exc.name or not name.startswith(f"{exc.name}."):
                raise
            found = None
        if found is None:
            # other finders mustn't be asked: they would find it in a Celery that is installed as well
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: celery is an alias of {PACKAGE}, which has no {name!r}", name=fullname
            )
        return ModuleSpec(
            fullname, _Loader(name), origin=found.origin, is_package=found.submodule_search_locations is not None
        )


def _is_foreign(name: str, module: ModuleType | None) -> bool:
    if name != CELERY and not name.startswith(f"{CELERY}."):
        return False
    return module is not None and module is not sys.modules.get(own_name(name))


def install() -> None:
    """Make ``celery`` an alias; called by the import of this module. A second call changes nothing.

    :raises AliasError: another ``celery`` was imported before.
    """
    foreign = next((module for name, module in sys.modules.items() if _is_foreign(name, module)), None)
    if foreign is not None:
        raise AliasError(
            f"{foreign.__name__!r} was imported from {getattr(foreign, '__file__', 'elsewhere')} before the alias was "
            "set up. Import svcjobs_celery_compat.alias first thing in the program, or set SVCJOBS_AS_CELERY=1 in its "
            "environment.",
            name=CELERY,
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def serve() -> None:
    """Make ``celery`` an alias in this process and in those that it starts: ``--as-celery`` of the command line.

    :raises AliasError: another ``celery`` was imported before.
    """
    install()
    os.environ["SVCJOBS_AS_CELERY"] = "1"


install()
