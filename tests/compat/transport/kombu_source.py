"""kombu's own integration tests, from its source distribution; kept in a cache outside the repository."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from tests.compat.transport.sdist import NoSdist, unpacked


def integration_module(name: str) -> ModuleType:
    """A module of ``t/integration`` of the kombu that is installed; it is fetched from the package index once.

    Without network the tests that need it are skipped, under CI they fail.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "svcjobs"
    try:
        folder = unpacked("kombu", version("kombu"), "t", cache) / "t" / "integration"
    except NoSdist as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error), allow_module_level=True)
    package = sys.modules.setdefault("kombu_integration", ModuleType("kombu_integration"))
    package.__path__ = [str(folder)]
    return importlib.import_module(f"kombu_integration.{name}")
