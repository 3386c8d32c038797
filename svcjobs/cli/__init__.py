"""The command line: ``svcjobs``, or ``python -m svcjobs``."""

from svcjobs.cli.program import main

__all__ = ["main"]
