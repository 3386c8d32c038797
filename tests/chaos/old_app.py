"""The release before :mod:`tests.chaos.app`: it knows one job only."""

from __future__ import annotations

from svcjobs import JobRegistry
from tests.chaos.app import quick

registry = JobRegistry()
registry.register("quick", quick)
