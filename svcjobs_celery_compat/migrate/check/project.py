"""The files of a code base, read one by one."""

from __future__ import annotations

import ast
import os
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

from svcjobs_celery_compat.migrate.check.finding import Finding, Verdict
from svcjobs_celery_compat.migrate.check.imports import imported
from svcjobs_celery_compat.migrate.check.settings import configured

LEFT_OUT = {"node_modules", "site-packages", "__pycache__", "build", "dist"}


def check_path(path: Path, progress: Callable[[Path], object] = lambda _: None) -> list[Finding]:
    """What the Python files at and below ``path`` use of Celery, in the order of files and lines.

    Args:
        path: a file or a folder; hidden folders and those of installed packages are left out.
        progress: called with each file before it is read.
    """
    findings: list[Finding] = []
    for file in _files(path):
        progress(file)
        findings += _check_file(file)
    return sorted(findings)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        if (Path(folder) / "pyvenv.cfg").exists():
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT)
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(".py"))


def _check_file(file: Path) -> list[Finding]:
    try:
        with tokenize.open(file) as source:  # heeds the file's own encoding
            tree = ast.parse(source.read())
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        line = error.lineno or 0 if isinstance(error, SyntaxError) else 0
        return [Finding(str(file), line, "file", Verdict.MISSING, f"it can't be read: {error}")]
    return [*imported(str(file), tree), *configured(str(file), tree)]
