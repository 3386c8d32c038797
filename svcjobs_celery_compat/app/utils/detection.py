"""Which names of settings a configuration uses: the new ones, the former ones, or those with a prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from svcjobs_celery_compat.app.defaults import (
    _OLD_DEFAULTS,
    _OLD_SETTING_KEYS,
    _TO_NEW_KEY,
    _TO_OLD_KEY,
    DEFAULTS,
    SETTING_KEYS,
)
from svcjobs_celery_compat.app.unsupported import warn_unsupported
from svcjobs_celery_compat.app.utils.settings import Settings
from svcjobs_celery_compat.exceptions import ImproperlyConfigured

__all__ = ("detect_settings",)


def _old_key_to_new(key: str, convert: Callable[[str], str | None] = _TO_NEW_KEY.get) -> str:
    return convert(key) or key


def _new_key_to_old(key: str, convert: Callable[[str], str | None] = _TO_OLD_KEY.get) -> str:
    return convert(key) or key


def _other_former_names(conf: Mapping[str, Any], have: Iterable[str]) -> dict[str, Any]:
    """Return what `conf` has under a former name that isn't the one which lookups try."""
    renamed = {}
    for key in have:
        main = _TO_OLD_KEY[_TO_NEW_KEY[key]]
        if main != key:
            renamed[main] = conf[key]
    return renamed


def _mixed(left: Iterable[str], convert: Callable[[str], str], style: str) -> ImproperlyConfigured:
    renames = "\n".join(f"{key:<36} -> {convert(key)}" for key in sorted(left))
    return ImproperlyConfigured(
        f"New and former names of settings can't be mixed. Most of yours are of the {style} kind, so rename "
        f"these:\n\n{renames}\n\nOr rename all others instead."
    )


def detect_settings(
    conf: Any,
    preconf: dict[str, Any] | None = None,
    ignore_keys: Iterable[str] | None = None,
    prefix: str | None = None,
    all_keys: Iterable[str] | None = None,
    old_keys: Iterable[str] | None = None,
) -> Settings:
    """Make settings of what was configured.

    :param conf: what the configuration was read from, a mapping; None: `preconf` only.
    :param preconf: what was set in code: it comes first.
    :param ignore_keys: names that say nothing about the kind of names in use.
    :param prefix: names in `conf` begin with it: ``CELERY_``; former names have no meaning then.
    :raises ImproperlyConfigured: new and former names are mixed.
    """
    preconf = {} if preconf is None else preconf
    source = preconf if conf is None else conf
    conf = {} if conf is None else conf
    have = set(source.keys()) - set(ignore_keys or ())
    if prefix:
        old = new = set()
    else:
        new = have & set(SETTING_KEYS if all_keys is None else all_keys)
        old = have & set(_OLD_SETTING_KEYS if old_keys is None else old_keys)
        # the same setting by both names says nothing
        both = {key for key in old if _TO_NEW_KEY[key] in new}
        left_old, left_new = old - both, new - {_TO_NEW_KEY[key] for key in both}
        if left_old and left_new:
            if len(old) > len(new):
                raise _mixed(left_new, _new_key_to_old, "former")
            raise _mixed(left_old, _old_key_to_new, "new")
    is_former = len(old) > len(new)
    defaults = deepcopy(_OLD_DEFAULTS if is_former else DEFAULTS)
    convert = _new_key_to_old if is_former else _old_key_to_new
    changes = {convert(key): value for key, value in preconf.items()}
    renamed = _other_former_names(source, old)
    layers = [renamed, conf, defaults] if renamed else [conf, defaults]
    settings = Settings(
        changes, layers, keys=(_old_key_to_new, _new_key_to_old), deprecated_settings=old, prefix=prefix
    )
    warn_unsupported(settings.without_defaults())
    return settings
