"""Settings: names, types, defaults, and how former names map to them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

from kombu.utils.functional import memoize

from svcjobs_celery_compat.app.defaults.namespaces import (
    DEFAULT_ACCEPT_CONTENT,
    DEFAULT_POOL,
    DEFAULT_PROCESS_LOG_FMT,
    DEFAULT_SECURITY_DIGEST,
    DEFAULT_TASK_LOG_FMT,
    NAMESPACES,
)
from svcjobs_celery_compat.app.defaults.option import Namespace, Option, old_ns
from svcjobs_celery_compat.utils.serialization import strtobool

__all__ = (
    "DEFAULTS",
    "DEFAULT_ACCEPT_CONTENT",
    "DEFAULT_POOL",
    "DEFAULT_PROCESS_LOG_FMT",
    "DEFAULT_SECURITY_DIGEST",
    "DEFAULT_TASK_LOG_FMT",
    "NAMESPACES",
    "SETTING_KEYS",
    "Namespace",
    "Option",
    "find",
    "find_deprecated_settings",
    "flatten",
    "old_ns",
    "strtobool",
)

searchresult = namedtuple("searchresult", ("namespace", "key", "type"))  # noqa: PYI024 - of mixed types, as Celery's

KeyFilter = Callable[[str, str, Option], list[tuple[str, Any]]]


def _flatten_keys(ns: str, key: str, opt: Option) -> list[tuple[str, Any]]:
    return [(ns + key, opt)]


def _to_compat(ns: str, key: str, opt: Option) -> list[tuple[str, Any]]:
    """Return former names with the new one; the first is that which an old configuration is shown with."""
    names = opt.old or (ns + key,)
    return [(name.upper(), (ns + key, opt)) for name in names]


def flatten(d: dict[str, Any], root: str = "", keyfilter: KeyFilter = _flatten_keys) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a tree of namespaces by their full names."""
    for key, value in d.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{root}{key}_", keyfilter)
        else:
            yield from keyfilter(root, key, value)


_OPTIONS: dict[str, Option] = dict(flatten(NAMESPACES))
_OLD: list[tuple[str, tuple[str, Option]]] = list(flatten(NAMESPACES, keyfilter=_to_compat))

#: Defaults by name.
DEFAULTS: dict[str, Any] = {key: option.default for key, option in _OPTIONS.items()}
#: Names of all settings.
SETTING_KEYS = set(DEFAULTS)

_TO_NEW_KEY: dict[str, str] = {old: new for old, (new, _) in _OLD}
# the first of several names wins
_TO_OLD_KEY: dict[str, str] = {new: old for old, (new, _) in reversed(_OLD)}
_OLD_SETTING_KEYS = set(_TO_NEW_KEY)
_OLD_DEFAULTS: dict[str, Any] = {_TO_OLD_KEY[key]: default for key, default in DEFAULTS.items()}


def find_deprecated_settings(source: Any) -> Any:
    """Warn about each deprecated setting that `source` has set; return `source`."""
    from svcjobs_celery_compat.utils import deprecated

    for name, option in _OPTIONS.items():
        if (option.deprecate_by or option.remove_by) and getattr(source, name, None):
            deprecated.warn(
                description=f"The {name!r} setting",
                deprecation=option.deprecate_by,
                removal=option.remove_by,
                alternative=f"Use the {option.alt} instead",
            )
    return source


@memoize(maxsize=None)  # type: ignore[untyped-decorator]  # of kombu
def find(name: str, namespace: str = "celery") -> searchresult:
    """Find a setting by its full name, or by its name in some namespace.

    :param namespace: that is looked at first.
    :raises KeyError: there is none of that name.
    """
    if isinstance(found := NAMESPACES.get(namespace), dict) and name in found:
        return searchresult(namespace, name, found[name])
    for ns, options in NAMESPACES.items():
        if not isinstance(options, dict):
            if ns == name:
                return searchresult(None, name, options)
        elif ns == name:
            return searchresult(None, ns, options)
        elif name in options:
            return searchresult(ns, name, options[name])
    return searchresult(None, name, _OPTIONS[name])
