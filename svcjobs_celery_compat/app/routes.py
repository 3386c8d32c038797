"""Which queue a task goes to: ``task_routes``."""

from __future__ import annotations

import fnmatch
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from kombu import Queue

from svcjobs_celery_compat.exceptions import QueueNotFound
from svcjobs_celery_compat.utils.collections import lpmerge
from svcjobs_celery_compat.utils.functional import maybe_evaluate, mlazy
from svcjobs_celery_compat.utils.imports import symbol_by_name

__all__ = ("MapRoute", "Router", "expand_router_string", "prepare")


class MapRoute:
    """Routes by the name of the task: exact names, patterns (``feed.*``), and regular expressions.

    :param map: a mapping, or pairs; with pairs, the first pattern that fits counts.
    """

    def __init__(self, map: Any) -> None:
        pairs = map.items() if isinstance(map, Mapping) else iter(map)
        self.map: dict[str, Any] = {}
        self.patterns: OrderedDict[re.Pattern[str], Any] = OrderedDict()
        for name, route in pairs:
            if isinstance(name, re.Pattern):
                self.patterns[name] = route
            elif "*" in name:
                self.patterns[re.compile(fnmatch.translate(name))] = route
            else:
                self.map[name] = route

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return where a task goes to, as options of apply_async; None if nothing fits."""
        if name in self.map:
            return _as_options(self.map[name])
        for pattern, route in self.patterns.items():
            if pattern.match(name):
                return _as_options(route)
        return None


def _as_options(route: Any) -> Any:
    if route is None:
        return None
    # a copy: what is sent changes it
    return {"queue": route} if isinstance(route, str) else dict(route)


class Router:
    """Adds to the options of a task what its routes say.

    :param routes: see :func:`prepare`.
    :param queues: the queues that there are, by name.
    :param create_missing: make queues that there aren't.
    """

    def __init__(self, routes: Any = None, queues: Any = None, create_missing: bool = False, app: Any = None) -> None:
        self.app = app
        self.queues = {} if queues is None else queues
        self.routes = [] if routes is None else routes
        self.create_missing = create_missing

    def route(
        self, options: dict[str, Any], name: str, args: Any = (), kwargs: Any = None, task_type: Any = None
    ) -> Any:
        """Return the options of a task with its destination; what the caller gave comes first.

        :raises QueueNotFound: it is routed to a queue that there isn't.
        """
        kwargs = {} if kwargs is None else kwargs
        options = self.expand_destination(options)
        if self.routes:
            route = self.lookup_route(name, args, kwargs, options, task_type)
            if route:
                return lpmerge(self.expand_destination(route), options)
        if "queue" not in options:
            options = lpmerge(self.expand_destination(self.app.conf.task_default_queue), options)
        return options

    def expand_destination(self, route: Any) -> Any:
        """Return options with the queue itself in place of its name.

        :raises QueueNotFound: there is none of that name.
        """
        if isinstance(route, str):
            queue, route = route, {}
        else:
            # a copy: the route may be in use elsewhere
            route = dict(route)
            queue = route.pop("queue", None)
        if queue:
            if isinstance(queue, Queue):
                route["queue"] = queue
            else:
                try:
                    route["queue"] = self.queues[queue]
                except KeyError:
                    raise QueueNotFound(f"Queue {queue!r} missing from task_queues") from None
        return route

    def lookup_route(
        self, name: str, args: Any = None, kwargs: Any = None, options: Any = None, task_type: Any = None
    ) -> Any:
        """Ask one route after the other; return the first answer."""
        for router in self.routes:
            found = self.query_router(router, name, args, kwargs, options, task_type)
            if found is not None:
                return found
        return None

    def query_router(self, router: Any, task: str, args: Any, kwargs: Any, options: Any, task_type: Any) -> Any:
        """Ask a route: a function, or an object with the method ``route_for_task``."""
        router = maybe_evaluate(router)
        if hasattr(router, "route_for_task"):
            # as routes were before Celery 4
            return router.route_for_task(task, args, kwargs)
        return router(task, args, kwargs, options, task=task_type)


def expand_router_string(router: str) -> Any:
    """Return the route of that name; a class is called."""
    found = symbol_by_name(router)
    return found() if hasattr(found, "route_for_task") else found


def prepare(routes: Any) -> Any:
    """Return the routes of a setting as what :class:`Router` takes.

    :param routes: a mapping, a function, its name, or a list of them.
    """

    def expand(route: Any) -> Any:
        if isinstance(route, (Mapping, list, tuple)):
            return MapRoute(route)
        if isinstance(route, str):
            return mlazy(expand_router_string, route)
        return route

    if routes is None:
        return ()
    if not isinstance(routes, (list, tuple)):
        routes = (routes,)
    return [expand(route) for route in routes]
