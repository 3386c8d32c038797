"""The Python files below a folder, and which of them have changed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

Snapshot = dict[str, tuple[int, int]]
"""Time of the last change, in nanoseconds, and size, by path."""

OTHERS = frozenset({"__pycache__", "node_modules", "site-packages"})


def snapshot(folder: Path) -> Snapshot:
    """All ``*.py`` files below ``folder`` now; not those of hidden folders, virtual environments and packages."""
    found: Snapshot = {}
    folders = [str(folder)]
    while folders:
        entries = _entries(folders.pop())
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            with contextlib.suppress(OSError):  # it was removed meanwhile
                if entry.is_dir(follow_symlinks=False):
                    folders += [entry.path] if _may_hold_sources(entry.name) else []
                elif entry.name.endswith(".py"):
                    stat = entry.stat()
                    found[entry.path] = stat.st_mtime_ns, stat.st_size
    return found


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """The files that were changed, added or removed between two snapshots."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _may_hold_sources(name: str) -> bool:
    return not name.startswith(".") and name not in OTHERS
