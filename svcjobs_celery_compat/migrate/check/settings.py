"""Settings that code gives a Celery app, wherever it gives them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from svcjobs_celery_compat.app.defaults import _TO_NEW_KEY, SETTING_KEYS
from svcjobs_celery_compat.app.unsupported import INSTEAD
from svcjobs_celery_compat.migrate.check.finding import Finding, Verdict

Setting = tuple[str, ast.expr, int]
"""A name as the code writes it, what it is set to, and the line."""

ARGUMENTS = {"broker": "broker_url", "backend": "result_backend", "include": "include"}
"""Arguments of Celery() that are settings under another name."""
PREFIX = "CELERY_"
CONFIGURATION_MODULES = ("celeryconfig.py", "celery_config.py", "celeryconf.py")
CALLS = {"update", "config_from_object", "add_defaults", "from_object"}

DIFFERENT = {
    "broker_transport_options": "visibility_timeout is a lease, extended while a task runs: no hours are needed",
    "worker_pool": "one of async, threads, prefork and solo",
    "broker_pool_limit": "connections of producers are kept as before; a worker's own aren't counted",
}
BROKERS = {
    "redis": "", "rediss": "", "sentinel": "", "redis+socket": "", "unix": "", "memory": "",
    "redis+cluster": "", "rediss+cluster": "",
    "svcjobs": "", "svcjobs-tls": "", "svcjobs-unix": "", "svcjobs-sentinel": "", "svcjobs-cluster": "",
}  # fmt: skip
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def configured(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A finding for each setting that a module gives."""
    module_is_configuration = Path(path).name in CONFIGURATION_MODULES
    for name, value, line in _settings(tree, module_is_configuration):
        known = _known(name)
        if known is None:
            if name.startswith(PREFIX) or module_is_configuration:
                yield Finding(
                    path, line, name, Verdict.DIFFERS, "not a setting of Celery; it is kept, and has no effect"
                )
            continue
        yield _judged(path, line, name, known, value)


def _settings(tree: ast.Module, module_is_configuration: bool) -> Iterator[Setting]:
    for statement in tree.body:
        for name, value in _assigned(statement):
            if name.startswith(PREFIX) or (module_is_configuration and not name.startswith("_")):
                yield name, value, statement.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.Assign):
            yield from (setting for target in node.targets for setting in _of_conf(target, node.value))
        if isinstance(node, ast.Dict):
            yield from _of_entry(node)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield target.id, statement.value
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        yield statement.target.id, statement.value


def _of_conf(target: ast.expr, value: ast.expr) -> Iterator[Setting]:
    """``app.conf.name = value`` and ``app.conf["name"] = value``."""
    if isinstance(target, ast.Attribute) and _is_conf(target.value):
        yield target.attr, value, target.lineno
    elif isinstance(target, ast.Subscript) and _is_conf(target.value) and isinstance(target.slice, ast.Constant):
        yield str(target.slice.value), value, target.lineno


def _is_conf(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "conf"


def _of_call(call: ast.Call) -> Iterator[Setting]:
    function = call.func
    name = (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )
    of_app = isinstance(function, ast.Attribute) and (_is_conf(function.value) or name == "config_from_object")
    if name == "Celery":
        yield from (
            (ARGUMENTS.get(word.arg, word.arg), word.value, word.value.lineno) for word in call.keywords if word.arg
        )
    elif name in CALLS and of_app:
        yield from ((word.arg, word.value, word.value.lineno) for word in call.keywords if word.arg)
        yield from (
            setting for argument in call.args if isinstance(argument, ast.Dict) for setting in _of_dict(argument)
        )


def _of_entry(mapping: ast.Dict) -> Iterator[Setting]:
    """``{"CELERY": {…}}``, as Flask applications have it."""
    for key, value in zip(mapping.keys, mapping.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "CELERY" and isinstance(value, ast.Dict):
            yield from _of_dict(value)


def _of_dict(mapping: ast.Dict) -> Iterator[Setting]:
    for key, value in zip(mapping.keys, mapping.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, value, key.lineno


def _known(name: str) -> str | None:
    """The setting's present name; None when there is none of that name."""
    bare = name.removeprefix(PREFIX)
    candidates: Sequence[str] = (name, bare.lower(), _TO_NEW_KEY.get(name, ""), _TO_NEW_KEY.get(bare, ""))
    return next((candidate for candidate in candidates if candidate in SETTING_KEYS), None)


def _judged(path: str, line: int, name: str, known: str, value: ast.expr) -> Finding:
    if known in ("broker_url", "broker_read_url", "broker_write_url") and (scheme := _scheme(value)):
        if scheme not in BROKERS:
            advice = f"{scheme}:// is no broker of svcjobs: use Redis, and let messages that wait be worked off"
            return Finding(path, line, name, Verdict.MISSING, advice)
        if not scheme.startswith(("svcjobs", "memory")):
            advice = "queues lie under other keys on this server: let messages that wait be worked off"
            return Finding(path, line, name, Verdict.DIFFERS, advice)
    advice = DIFFERENT.get(known) or INSTEAD.get(known, "")
    return Finding(path, line, name, Verdict.DIFFERS if advice else Verdict.SUPPORTED, advice)


def _scheme(value: ast.expr) -> str:
    text = value.value if isinstance(value, ast.Constant) else ""
    match = _SCHEME.match(text) if isinstance(text, str) else None
    return match[1].lower() if match else ""
