"""The configuration of an app before anything of it was read."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from functools import cached_property
from typing import Any

from svcjobs_celery_compat.utils.collections import AttributeDictMixin


class PendingConfiguration(UserDict, AttributeDictMixin):  # type: ignore[type-arg]  # UserDict can't be generic beside it
    """Takes settings without loading the configuration; reading one loads it.

    So ``app.conf.update(…)`` may come before ``config_from_object``, and an app that only defines tasks imports no
    configuration module.

    Parameters:
        conf: where the settings go.
        callback: loads the configuration, and returns it.
    """

    callback: Any = None
    _data: Any = None

    def __init__(self, conf: dict[str, Any], callback: Callable[[], Any]) -> None:
        # by way of object: attributes are settings
        object.__setattr__(self, "_data", conf)
        object.__setattr__(self, "callback", callback)

    def __setitem__(self, key: str, value: Any) -> None:
        self._data[key] = value

    def clear(self) -> None:
        self._data.clear()

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._data.update(*args, **kwargs)

    def setdefault(self, *args: Any, **kwargs: Any) -> Any:
        return self._data.setdefault(*args, **kwargs)

    def __contains__(self, key: object) -> bool:
        # setdefault asks this, and mustn't load anything
        return key in self._data

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return repr(self.data)

    @cached_property
    def data(self) -> Any:  # type: ignore[override]  # the base class makes it in its constructor
        return self.callback()
