"""What is linked to a signature: callbacks, errbacks, and the stamps that it and they have."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any, Self

from svcjobs_celery_compat.canvas.stamps import Headers, StampingVisitor, collected
from svcjobs_celery_compat.utils.functional import maybe_list


class Linkable(dict[str, Any]):
    """The part of a signature that links others to it, and stamps it together with them."""

    _app: Any = None
    options: Any
    set: Any

    def _with_list_option(self, key: str) -> MutableSequence[Any]:
        items: Any = self.options.setdefault(key, [])
        if not isinstance(items, MutableSequence):
            self.options[key] = items = [items]
        return items  # type: ignore[no-any-return]  # the other type is made one above

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Add ``value`` to the list that the option ``key`` is, unless it is there; returns ``value``."""
        items = self._with_list_option(key)
        if value not in items:
            items.append(value)
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add each of ``value``, or ``value`` if it is no list, to the option ``key``."""
        self._with_list_option(key).extend(maybe_list(value) or ())

    def link(self, callback: Any) -> Any:
        """Have ``callback`` called with the result when the task succeeds; returns the callback, for more links."""
        return self.append_to_list_option("link", callback)

    def link_error(self, errback: Any) -> Any:
        """Have ``errback`` called when the task fails; returns the errback, for more links."""
        return self.append_to_list_option("link_error", errback)

    def on_error(self, errback: Any) -> Self:
        """As :meth:`link_error`, but returns the signature."""
        self.link_error(errback)
        return self

    def flatten_links(self) -> list[Any]:
        """The signature and all that are linked to it, and to those."""
        return [self, *(sig for link in self._linked("link") for sig in link.flatten_links())]

    def _linked(self, option: str) -> list[Any]:
        """The signatures in the option; those that are dictionaries share their options with what is returned."""
        from svcjobs_celery_compat.canvas.signatures import maybe_signature

        return [maybe_signature(link, app=self._app) for link in maybe_list(self.options.get(option)) or ()]

    def stamp(self: Any, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Any:
        """Stamp the signature and what is linked to it.

        Parameters:
            visitor: says what to stamp it with.
            append_stamps: where it has the stamp already, keep both in a list. Else the new one replaces the old.
            **headers: stamps.
        """
        self.stamp_links(visitor, append_stamps, **headers)
        added = None if visitor is None else visitor.on_signature(self, **headers) or {}
        return self.set(**collected(headers, added, self.options, append_stamps))

    def stamp_links(self, visitor: StampingVisitor | None, append_stamps: bool = False, **headers: Any) -> None:
        """Stamp the callbacks and errbacks linked to the signature; parameters as for :meth:`stamp`."""
        for option in ("link", "link_error"):
            for sig in self._linked(option):
                added = None
                if visitor is not None:
                    visit = visitor.on_callback if option == "link" else visitor.on_errback
                    added = visit(sig, **headers) or {}
                sig.stamp(visitor, append_stamps, **collected(headers, added, None, append_stamps))

    def _stamp_headers(
        self,
        visitor_headers: Headers | None = None,
        append_stamps: bool = False,
        self_headers: bool = True,
        **headers: Any,
    ) -> Headers:
        return collected(headers, visitor_headers, self.options if self_headers else None, append_stamps)
