"""Several mappings seen as one: the first that has a key gives the value. Configuration is made so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Self

from svcjobs_celery_compat.utils.collections.attributes import AttributeDictMixin, DictAttribute
from svcjobs_celery_compat.utils.functional import uniq
from svcjobs_celery_compat.utils.text import match_case

__all__ = ("ChainMap", "ConfigurationView", "force_mapping", "lpmerge")


def force_mapping(m: Any) -> Any:
    """Return a mapping as it is, and the attributes of anything else as a mapping."""
    return m if isinstance(m, Mapping) else DictAttribute(m)


def lpmerge(L: dict[str, Any], R: Mapping[str, Any]) -> dict[str, Any]:
    """Put into `L` what is in `R`, except for None; return `L`."""
    L.update((key, value) for key, value in R.items() if value is not None)
    return L


class ChainMap(MutableMapping[str, Any]):
    """Looks a key up in one mapping after the other; changes go to the first.

    :param maps: the mappings; without one, there is an empty dict.
    :param key_t: function that is applied to each key. (keyword)
    """

    key_t: Callable[[Any], Any] | None
    changes: Any
    defaults: list[Any]
    maps: list[Any]
    _observers: list[Callable[..., Any]]

    def __init__(self, *maps: Any, **kwargs: Any) -> None:
        layers = list(maps or ({},))
        self.__dict__.update(
            key_t=kwargs.get("key_t"), maps=layers, changes=layers[0], defaults=layers[1:], _observers=[]
        )

    def add_defaults(self, d: Any) -> None:
        """Put a mapping before the other defaults."""
        d = force_mapping(d)
        self.defaults.insert(0, d)
        self.maps.insert(1, d)

    def bind_to(self, callback: Callable[..., Any]) -> None:
        """Call `callback` with what :meth:`update` is called with."""
        self._observers.append(callback)

    def _key(self, key: Any) -> Any:
        return self.key_t(key) if self.key_t is not None else key

    def __missing__(self, key: Any) -> Any:
        raise KeyError(key)

    def __getitem__(self, key: Any) -> Any:
        wanted = self._key(key)
        for mapping in self.maps:
            try:
                return mapping[wanted]
            except KeyError:
                continue
        return self.__missing__(wanted)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.changes[self._key(key)] = value

    def __delitem__(self, key: Any) -> None:
        try:
            del self.changes[self._key(key)]
        except KeyError:
            raise KeyError(f"Key not found in first mapping: {key!r}") from None

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove a key from the first mapping, and return its value."""
        try:
            return self.changes.pop(self._key(key), *default)
        except KeyError:
            raise KeyError(f"Key not found in the first mapping: {key!r}") from None

    def clear(self) -> None:
        """Remove all changes."""
        self.changes.clear()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def setdefault(self, key: Any, default: Any = None) -> None:
        """Set a key that no mapping has."""
        if key not in self:
            self[key] = default

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several keys; observers are told."""
        # an iterator of pairs can be read once only
        args = tuple(dict(arg) for arg in args)
        self.changes.update(*args, **kwargs)
        for callback in self._observers:
            callback(*args, **kwargs)

    def __contains__(self, key: Any) -> bool:
        wanted = self._key(key)
        return any(wanted in mapping for mapping in self.maps)

    def __len__(self) -> int:
        return len(set().union(*self.maps))

    def __iter__(self) -> Iterator[Any]:
        # the defaults first: their order is the documented one
        return uniq(key for mapping in reversed(self.maps) for key in mapping.keys())  # noqa: SIM118 - a module, too

    def __bool__(self) -> bool:
        return any(self.maps)

    def keys(self) -> Any:
        """Return the keys, each once."""
        return iter(self)

    def values(self) -> Any:
        """Return the values in the order of :meth:`keys`."""
        return (self[key] for key in self)

    def items(self) -> Any:
        """Return pairs of key and value in the order of :meth:`keys`."""
        return ((key, self[key]) for key in self)

    iterkeys, itervalues, iteritems = keys, values, items

    def copy(self) -> Self:
        """Return a copy of the changes, before the same defaults."""
        return type(self)(self.maps[0].copy(), *self.maps[1:])

    __copy__ = copy

    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], *args: Any) -> Self:
        """Make one whose first mapping has these keys."""
        return cls(dict.fromkeys(iterable, *args))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.maps))})"


class ConfigurationView(ChainMap, AttributeDictMixin):
    """Configuration: changes before defaults, keys as attributes, and several names of one key.

    :param changes: the mapping that is written to.
    :param defaults: mappings that are looked at after it, in this order.
    :param keys: functions that make another name of a key, the old or the new one.
    :param prefix: keys may also have it: ``CELERY_``.
    """

    prefix: str | None
    _keys: tuple[Callable[[str], str], ...]
    _names_of: dict[str, list[str]]

    def __init__(
        self,
        changes: Any,
        defaults: list[Any] | None = None,
        keys: tuple[Callable[[str], str], ...] | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(changes, *(defaults or []))
        self.__dict__.update(
            prefix=prefix.rstrip("_") + "_" if prefix else prefix, _keys=tuple(keys or ()), _names_of={}
        )

    def copy(self) -> Self:
        """Return a copy of the changes, before the same defaults."""
        changes = dict(self.changes.items()) if not hasattr(self.changes, "copy") else self.changes.copy()
        copied = type(self)(changes, list(self.defaults), keys=self._keys, prefix=self.prefix)
        copied.__dict__["key_t"] = self.key_t
        return copied

    __copy__ = copy

    def _to_keys(self, key: str) -> list[str]:
        # each message that is sent asks for a dozen settings
        names = self._names_of.get(key)
        if names is None:
            names = self._names_of[key] = self._make_names(key)
        return names

    def _make_names(self, key: str) -> list[str]:
        names = [key, *(convert(key) for convert in self._keys)]
        if self.prefix and not key.startswith(self.prefix):
            prefixed = match_case(self.prefix + key, self.prefix)
            names.insert(0, prefixed)
        return list(uniq(map(self._key, names)))

    def __getitem__(self, key: str) -> Any:
        names = self._names_of.get(key) or self._to_keys(key)
        for mapping in self.maps:
            if type(mapping) is dict:  # most are, and have few of the keys: an exception costs more than a look
                for name in names:
                    if name in mapping:
                        return mapping[name]
                continue
            for name in names:
                try:
                    return mapping[name]
                except KeyError:
                    continue
        if self.prefix and names[0] != key:
            raise KeyError(f"Key not found: {key!r} (with prefix: {names[0]!r})")
        raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        names = self._to_keys(key)
        return any(name in mapping for mapping in self.maps for name in names)

    def first(self, *keys: str) -> Any:
        """Return the value of the first key whose value isn't None; None if there is none."""
        return next((value for value in map(self.get, keys) if value is not None), None)

    def swap_with(self, other: ConfigurationView) -> None:
        """Become `other`."""
        names = ("changes", "defaults", "key_t", "prefix", "maps", "_keys")
        self.__dict__.update({name: other.__dict__[name] for name in names}, _names_of={})
