"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ("get_file",)


def get_file(*args: str) -> str:
    """Return the path of a file beside this module."""
    return str(Path(__file__).parent.joinpath(*args))
