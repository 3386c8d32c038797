"""Modules are small, named after one noun, and keep no state of their own.

The facade has the modules that Celery documents, by their names, with the state and the environment variables that
belong to them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.server_program import ROOT

PACKAGES = ("svcjobs", "svcjobs_celery_compat")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "examples")
EVERYTHING = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SHIPPED = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))
NATIVE = sorted((ROOT / "svcjobs").rglob("*.py"))
VAGUE = re.compile(r"(^|_)(utils?|helpers?|managers?|common|base|misc|shared)(_|$)")
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "ContextVar"}
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*|__\w+__")
CHANGING = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault",
    "sort", "update",
}  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_modules() -> None:
    assert len(SHIPPED) > 20
    assert len(EVERYTHING) > len(SHIPPED)


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_module_has_fewer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_module_is_named_after_what_it_holds(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    vague = [parts[: number + 1] for number, part in enumerate(parts) if VAGUE.search(part)]
    assert [place for place in vague if not _is_celerys(place)] == []


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_a_module_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", NATIVE, ids=name)
def test_the_environment_is_read_in_settings_only(path: Path) -> None:
    if path.relative_to(ROOT).parts[-1] == "settings.py":
        return
    assert list(_environment_uses(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", NATIVE, ids=name)
def test_a_module_has_no_mutable_globals(path: Path) -> None:
    assert list(_mutable_globals(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ", "from os import getenv as g"],
)
def test_a_use_of_the_environment_is_seen(source: str) -> None:
    assert list(_environment_uses(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "jobs = []",
        "jobs: dict[str, int] = {}",
        "jobs = set()",
        "jobs = collections.deque()",
        "JOBS = {}\ndef add(): JOBS['a'] = 1",
        "JOBS = []\ndef add(): JOBS.append(1)",
        "JOBS = {}\ndef drop(): del JOBS['a']",
        "last = None\ndef note():\n    global last\n    last = 1",
    ],
)
def test_a_mutable_global_is_seen(source: str) -> None:
    assert list(_mutable_globals(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["DAYS = {'sun': 0}", "_X = ['a']", "__all__ = ['a']", "def f():\n    a = []\n    a.append(1)"]
)
def test_a_constant_is_none(source: str) -> None:
    assert list(_mutable_globals(ast.parse(source))) == []


def _is_celerys(parts: Sequence[str]) -> bool:
    """Whether this place in the facade has the path of a module of Celery."""
    package, *path = parts
    spec = find_spec("celery")
    assert spec
    assert spec.origin
    place = Path(spec.origin).parent.joinpath(*path)
    return package == "svcjobs_celery_compat" and (place.is_dir() or place.with_suffix(".py").is_file())


def _environment_uses(tree: ast.Module) -> Iterator[str]:
    words = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in words and ast.unparse(node.value) == "os":
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name in words)


def _mutable_globals(tree: ast.Module) -> Iterator[str]:
    holders = {target: node for node in tree.body for target in _mutable_targets(node)}
    yield from (f"line {node.lineno}: {target}" for target, node in holders.items() if not CONSTANT.fullmatch(target))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"
        if (changed := _changed(node)) and changed in holders:
            yield f"line {getattr(node, 'lineno', 0)}: {changed} is changed"


def _mutable_targets(node: ast.stmt) -> Iterator[str]:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not _is_mutable(node.value):
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in MUTABLE_TYPES
    return isinstance(value, MUTABLE)


def _changed(node: ast.AST) -> str | None:
    """The name of what a statement changes in place."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value.id if isinstance(node.value, ast.Name) else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in CHANGING:
        return None
    return node.func.value.id if isinstance(node.func.value, ast.Name) else None
