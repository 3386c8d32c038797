"""Asking workers what they do."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kombu.matcher import match

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.exceptions import DuplicateNodenameWarning
from svcjobs_celery_compat.utils.text import pluralize

Replies = Any
"""By name of the worker; of the one worker that was asked by its name; None when nobody replied."""


def flatten_reply(reply: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One mapping out of ``[{'a@host': x}, {'b@host': y}]``; warns of names that come twice."""
    replies = list(reply)
    seen = Counter(name for item in replies for name in item)
    twice = [name for name, times in seen.items() if times > 1]
    if twice:
        warnings.warn(
            DuplicateNodenameWarning(
                f"Received multiple replies from node {pluralize(len(twice), 'name')}: {', '.join(sorted(twice))}.\n"
                "Give each worker a name of its own by its option -n."
            ),
            stacklevel=2,
        )
    return {name: value for item in replies for name, value in item.items()}


class Inspect:
    """Asks workers, and waits for what they reply: ``app.control.inspect().active()``.

    What each command returns is in Celery's documentation of the same method; None when no worker replied.

    Args:
        destination: names of workers; one name in text gives the bare reply of that worker.
        timeout: seconds to wait.
        callback: called with each reply as it comes.
        connection: to the broker; one of the app's pool by default.
        app: the app; the current one by default.
        limit: how many replies to wait for.
        pattern: which workers reply, for ``matcher``.
        matcher: ``glob`` or ``pcre``.
    """

    app: Any = None

    def __init__(
        self,
        destination: Any = None,
        timeout: float = 1.0,
        callback: Callable[[Any], object] | None = None,
        connection: Any = None,
        app: Any = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        self.app = app_or_default(app or self.app)
        self.destination = destination
        self.timeout = timeout
        self.callback = callback
        self.connection = connection
        self.limit = limit
        self.pattern = pattern
        self.matcher = matcher

    def _prepare(self, reply: list[Mapping[str, Any]] | None) -> Replies:
        if not reply:
            return None
        by_node = flatten_reply(reply)
        if self.destination and not isinstance(self.destination, list | tuple):
            return by_node.get(self.destination)
        if self.pattern:
            return {node: value for node, value in by_node.items() if match(node, self.pattern, self.matcher)}
        return by_node

    def _request(self, command: str, **kwargs: Any) -> Replies:
        return self._prepare(
            self.app.control.broadcast(
                command,
                arguments=kwargs,
                destination=self.destination,
                callback=self.callback,
                connection=self.connection,
                limit=self.limit,
                timeout=self.timeout,
                reply=True,
                pattern=self.pattern,
                matcher=self.matcher,
            )
        )

    def report(self) -> Replies:
        """A report about each worker, for people."""
        return self._request("report")

    def clock(self) -> Replies:
        """The logical clocks."""
        return self._request("clock")

    def active(self, safe: bool | None = None) -> Replies:
        """The tasks that run now.

        Args:
            safe: leave their arguments as text.
        """
        return self._request("active", safe=safe)

    def scheduled(self, safe: bool | None = None) -> Replies:
        """The tasks that wait for their time."""
        return self._request("scheduled")

    def reserved(self, safe: bool | None = None) -> Replies:
        """The tasks that workers have and don't run yet."""
        return self._request("reserved")

    def stats(self) -> Replies:
        """Numbers about the workers and their pools."""
        return self._request("stats")

    def revoked(self) -> Replies:
        """Ids of revoked tasks."""
        return self._request("revoked")

    def registered(self, *taskinfoitems: str) -> Replies:
        """Names of tasks that workers know.

        Args:
            *taskinfoitems: attributes of the tasks to add.
        """
        return self._request("registered", taskinfoitems=taskinfoitems)

    registered_tasks = registered

    def ping(self, destination: Any = None) -> Replies:
        """Whether they live.

        Args:
            destination: names of the workers to ask from now on.
        """
        if destination:
            self.destination = destination
        return self._request("ping")

    def active_queues(self) -> Replies:
        """The queues that workers consume from."""
        return self._request("active_queues")

    def query_task(self, *ids: Any) -> Replies:
        """What is known of tasks.

        Args:
            *ids: their ids, or one list of them.
        """
        return self._request("query_task", ids=ids[0] if len(ids) == 1 and isinstance(ids[0], list | tuple) else ids)

    def conf(self, with_defaults: bool = False) -> Replies:
        """The settings of workers.

        Args:
            with_defaults: also those that weren't set.
        """
        return self._request("conf", with_defaults=with_defaults)

    def hello(self, from_node: str, revoked: Any = None) -> Replies:
        """Greet, as a worker that starts does; the replies tell what was revoked.

        Args:
            from_node: who asks; doesn't reply.
            revoked: what the asking one knows as revoked.
        """
        return self._request("hello", from_node=from_node, revoked=revoked)

    def memsample(self) -> Replies:
        """The memory that workers use now. Needs psutil there."""
        return self._request("memsample")

    def memdump(self, samples: int = 10) -> Replies:
        """Statistics of what :meth:`memsample` measured. Needs psutil there.

        Args:
            samples: how many lines.
        """
        return self._request("memdump", samples=samples)

    def objgraph(self, type: str = "Request", n: int = 200, max_depth: int = 10) -> Replies:
        """A graph of objects that aren't collected. Needs objgraph there.

        Args:
            type: of the objects.
            n: most objects.
            max_depth: most levels.
        """
        return self._request("objgraph", num=n, max_depth=max_depth, type=type)
