"""The real input: source files of the Python that runs this, and what can be asked of one."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

STDLIB = Path(sysconfig.get_paths()["stdlib"])
QUESTIONS = ("definitions", "imports")
MOST_FILES = 800
"""Keeps the demo under a minute on two slow cores; all of CPython 3.11's library has 1,790 files."""


def source_files() -> list[str]:
    """Paths of the standard library's modules, relative to its folder, in a fixed order."""
    found = (path.relative_to(STDLIB) for path in STDLIB.rglob("*.py"))
    modules = sorted(str(path) for path in found if "site-packages" not in path.parts)
    return modules[:MOST_FILES]


def ask(question: str, path: str) -> dict[str, int]:
    """Count what ``question`` asks for in one file.

    Raises:
        SyntaxError, ValueError: the file isn't Python; the library keeps some broken ones for its tests.
    """
    nodes = list(ast.walk(ast.parse((STDLIB / path).read_bytes())))
    if question == "imports":
        return {"imports": sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)}
    return {
        "functions": sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
    }
