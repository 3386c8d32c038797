"""Names that code imports from Celery: each either exists in the facade, or is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from svcjobs_celery_compat.migrate.check.finding import Finding, Verdict

FACADE = "svcjobs_celery_compat"
PACKAGE = "celery"

DIFFERENT = {
    "celery.concurrency": "pools are svcjobs' own: async, threads, prefork and solo",
    "celery.worker.consumer": "the worker is svcjobs' own: a step of the consumer has no connection to hook into",
    "celery.signals.worker_before_create_process": "it isn't sent, as what makes processes has no application: "
    "use worker_process_init",
    "celery.bootsteps": "steps start and stop with the worker; those of its consumer have nothing to act on",
}
REPLACED = {
    "celery.worker.pidbox": "remote control is answered by svcjobs' worker",
    "celery.contrib.sphinx": "documentation of tasks: use sphinx.ext.autodoc",
}


def imported(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A finding for each name that a module imports from Celery."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_celery(alias.name):
                    yield _judged(path, node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_celery(node.module or ""):
            for alias in node.names:
                yield _judged(path, node.lineno, node.module or "", None if alias.name == "*" else alias.name)


def _is_celery(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _judged(path: str, line: int, module: str, name: str | None) -> Finding:
    use = f"{module}.{name}" if name else module
    if not _exists(FACADE + module.removeprefix(PACKAGE), name):
        return Finding(path, line, use, Verdict.MISSING, _advice(REPLACED, use) or "the facade has no such name")
    advice = _advice(DIFFERENT, use)
    return Finding(path, line, use, Verdict.DIFFERS if advice else Verdict.SUPPORTED, advice)


def _advice(table: dict[str, str], use: str) -> str:
    return next((advice for name, advice in table.items() if use == name or use.startswith(f"{name}.")), "")


@cache
def _exists(module: str, name: str | None) -> bool:
    """Whether the facade has the module, and the name in it. Only the facade's own modules are imported."""
    try:
        if find_spec(module) is None:
            return False
        if name is None:
            return True
        return hasattr(import_module(module), name) or find_spec(f"{module}.{name}") is not None
    except ImportError:
        return False
