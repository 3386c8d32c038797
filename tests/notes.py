"""Files to which other processes append lines while a test reads them."""

from __future__ import annotations

from pathlib import Path


def lines_of(path: Path) -> list[str]:
    """The lines that are whole; none when there is no file yet.

    A write(2) is one piece to those who write, and not to those who read: its last page may come a moment later.
    """
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()
