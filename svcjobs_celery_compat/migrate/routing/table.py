"""The routing table: all routes, as one value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Self

from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.migrate.routing.route import Route, is_beside

_NAMES_KEPT = 10_000


class RouteTable:
    """Routes, at most one for each pattern. It isn't changed: each change makes another one.

    Args:
        routes: in any order.
    """

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.routes = tuple(sorted(routes, key=lambda route: route.rank))
        self.route_of = lru_cache(_NAMES_KEPT)(self._find)

    def __bool__(self) -> bool:
        return bool(self.routes)

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes)

    def _find(self, task: str) -> Route | None:
        return next((route for route in self.routes if route.covers(task)), None)

    def queue_for(self, queue: str, task: str, task_id: str) -> str:
        """Where a task goes that was sent to a queue: there, or to the queue of one side beside it."""
        route = self.route_of(task)
        if route is None or is_beside(queue) or not route.takes(task_id):
            return queue
        return route.to.queue_beside(queue)

    def with_route(self, route: Route) -> Self:
        """The table with one route more, which takes the place of one with the same pattern."""
        return type(self)([*(other for other in self if other.pattern != route.pattern), route])

    def without(self, pattern: str) -> Self:
        """The table without the route of a pattern.

        Raises:
            ConfigurationError: there is none.
        """
        left = [route for route in self if route.pattern != pattern]
        if len(left) == len(self.routes):
            known = ", ".join(route.pattern for route in self) or "none"
            raise ConfigurationError(f"there is no route of {pattern!r}: write it as it was given ({known})")
        return type(self)(left)

    def encode(self) -> str:
        """The table as it is stored."""
        return json.dumps([route.document() for route in self])

    @classmethod
    def decode(cls, text: str | bytes | None) -> Self:
        """The table that was stored; an empty one where none was.

        Raises:
            ConfigurationError: it can't be read.
        """
        if not text:
            return cls()
        try:
            return cls([Route.read(document) for document in json.loads(text)])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"the routing table can't be read: {error!r}") from error
