"""What the garbage collector finds open is no fault of the test that happens to run then. A plugin.

A connection of redis-py closes its socket when it goes. The collector finalizes a cycle's members in any order, so that
now and then the socket comes first and warns that nobody closed it, in the middle of another test. What goes without
the collector warns in the test that let it go, and fails it.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from typing import Any

import pytest


class Collector:
    """Hears of each collection; one runs at a time in a process."""

    def __init__(self) -> None:
        self._quiet = contextlib.ExitStack()

    def __call__(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._quiet.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", ResourceWarning)
        else:
            self._quiet.close()


def pytest_configure(config: pytest.Config) -> None:
    collector = Collector()
    gc.callbacks.append(collector)
    config.add_cleanup(lambda: gc.callbacks.remove(collector))
