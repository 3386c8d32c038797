"""Stamping: labels that a visitor puts on the signatures of a canvas."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svcjobs_celery_compat.canvas.signatures import Signature

Headers = dict[str, Any]


class StampingVisitor(metaclass=ABCMeta):
    """Walks a canvas with :meth:`Signature.stamp` and says what each part of it is stamped with.

    Each ``on_…`` method gets the part and the headers collected so far. It returns the headers to add: all of its keys
    are stamps, unless the key ``stamped_headers`` lists those that are.
    """

    @abstractmethod
    def on_signature(self, sig: Signature, **headers: Any) -> Headers:
        """Stamp a signature; the one method that a visitor has to have."""

    def on_group_start(self, group: Signature, **headers: Any) -> Headers:
        """Before the members of a group; what is returned is passed to each of them."""
        return {}

    def on_group_end(self, group: Signature, **headers: Any) -> None:  # noqa: B027  # to be overridden where wanted
        """After the members of a group."""

    def on_chain_start(self, chain: Signature, **headers: Any) -> Headers:
        """Before the steps of a chain; what is returned is passed to each of them."""
        return {}

    def on_chain_end(self, chain: Signature, **headers: Any) -> None:  # noqa: B027  # to be overridden where wanted
        """After the steps of a chain."""

    def on_chord_header_start(self, sig: Any, **header: Any) -> Headers:
        """Before the header of a chord, which becomes a group: by default what :meth:`on_group_start` says of it."""
        from svcjobs_celery_compat.canvas.groups import group

        if not isinstance(sig.tasks, group):
            sig.tasks = group(sig.tasks)
        return self.on_group_start(sig.tasks, **header)

    def on_chord_header_end(self, sig: Signature, **header: Any) -> None:  # noqa: B027  # to be overridden where wanted
        """After the header of a chord."""

    def on_chord_body(self, sig: Signature, **header: Any) -> Headers:
        """Before the body of a chord; gets the chord."""
        return {}

    def on_callback(self, callback: Signature, **header: Any) -> Headers:
        """Before a signature linked with ``link``."""
        return {}

    def on_errback(self, errback: Signature, **header: Any) -> Headers:
        """Before a signature linked with ``link_error``."""
        return {}


def _merge_dictionaries(d1: Headers, d2: Headers | None, aggregate_duplicates: bool = True) -> None:
    """Merge ``d2`` into ``d1``, in place.

    Dictionaries are merged in turn; two lists, tuples or sets are joined. Other values that both have become a list of
    both, or stay that of ``d1`` where ``aggregate_duplicates`` is false. None counts as nothing.
    """
    for key, value in (d2 or {}).items():
        if key not in d1:
            d1[key] = value
            continue
        own = d1[key]
        if isinstance(own, dict) and isinstance(value, dict):
            _merge_dictionaries(own, value, aggregate_duplicates)
        elif isinstance(own, (list, tuple, set)) and isinstance(value, type(own)):
            d1[key] = type(own)([*own, *value])
        elif aggregate_duplicates:
            d1[key] = _both(own, value)


def _both(own: Any, value: Any) -> list[Any]:
    if own is None:
        return [value]
    if isinstance(own, (list, tuple, set)):
        return [*own, value]
    return [own, *value] if isinstance(value, list) else [own, value]


def collected(headers: Headers, added: Headers | None, own_options: Headers | None, append_stamps: bool) -> Headers:
    """The headers that a part is stamped with: those from above, those of the visitor, those it has already.

    Where two have the same stamp, the first counts, or with ``append_stamps`` both in a list.
    """
    headers = {key: list(value) if key == "stamped_headers" else value for key, value in headers.items()}
    if headers and "stamped_headers" not in headers:
        headers["stamped_headers"] = list(headers)
    if added is not None:
        added = {"stamped_headers": list(added), **added}
        _merge_dictionaries(headers, added, aggregate_duplicates=append_stamps)
    if own_options is not None:
        names = [*headers.get("stamped_headers", ()), *(own_options.get("stamped_headers") or ())]
        headers["stamped_headers"] = names
        own = {name: own_options[name] for name in names if name in own_options}
        _merge_dictionaries(headers, own, aggregate_duplicates=append_stamps)
    if "stamped_headers" in headers:
        headers["stamped_headers"] = list(dict.fromkeys(headers["stamped_headers"]))
    return headers
