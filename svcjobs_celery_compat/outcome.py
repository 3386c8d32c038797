"""What is to commit together with the outcome of the task that runs here.

A worker settles a task with one script of its queue: the message is acknowledged, the result is stored, and what
follows is enqueued, or nothing of it (promise P6). While :func:`committing` is on, result backends and transports on
the queue's own server add what they would do to the effects of that script instead of doing it. On a cluster the script
keeps those for other slots, and they are carried out afterwards, each once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any

from svcjobs._redis.connections import home_db, is_cluster
from svcjobs.effects import Effect

Server = tuple[Any, ...]
"""What tells one Redis server from another, whichever database is used."""
_CLUSTER = "cluster"


class Home:
    """Where the queue of a task lies.

    Args:
        server: see :func:`server_of`; None when it can't be told.
        database: number of its database there.

    Attributes:
        known: a client of that server, the last one that was found to be.
    """

    __slots__ = ("database", "known", "server")

    def __init__(self, server: Server | None, database: int = 0) -> None:
        self.server = server
        self.database = database
        self.known: Any = None


class Outcome:
    """The effects of one task's outcome.

    Args:
        home: of the task's queue.
    """

    __slots__ = ("effects", "home", "is_open")

    def __init__(self, home: Home) -> None:
        self.home = home
        self.effects: list[Effect] = []
        self.is_open = False


_current: ContextVar[Outcome | None] = ContextVar("svcjobs_celery_outcome", default=None)


def begin(outcome: Outcome) -> Token[Outcome | None]:
    """Let `outcome` be that of the task that runs in this context, until :func:`end`."""
    return _current.set(outcome)


def end(token: Token[Outcome | None]) -> None:
    """Undo :func:`begin`."""
    _current.reset(token)


class Committing:
    """A block in which the present outcome is open. Make it by :func:`committing`."""

    __slots__ = ("_opened",)

    def __enter__(self) -> None:
        outcome = _current.get()
        self._opened = None if outcome is None or outcome.is_open else outcome
        if self._opened is not None:
            self._opened.is_open = True

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.is_open = False


def committing() -> Committing:
    """Let what is stored and published in the block commit with the outcome; outside of a worker's task, at once."""
    return Committing()


@contextmanager
def at_once() -> Iterator[None]:
    """Let what is stored and published in the block be done now, though an outcome is open."""
    outcome = _current.get()
    was_open = outcome is not None and outcome.is_open
    if outcome is not None:
        outcome.is_open = False
    try:
        yield
    finally:
        if outcome is not None:
            outcome.is_open = was_open


def effects_for(client: Any, *, same_database: bool = False) -> list[Effect] | None:
    """Where a backend or transport with this Redis client adds its effects; None: it has to act at once.

    Args:
        client: of the server that it would change.
        same_database: whether its effect can't name another database than the queue's, as ``Follow`` can't.
    """
    outcome = _current.get()
    if outcome is None or not outcome.is_open or (server := outcome.home.server) is None:
        return None
    if outcome.home.known is not client:
        if not _is_same(server, server_of(client)):
            return None
        outcome.home.known = client
    return None if same_database and outcome.home.database != database_of(client) else outcome.effects


def server_of(client: Any) -> Server | None:
    """What tells the server of a Redis client from others; None for one that can't be told.

    A cluster is told by the nodes that the client knows of.
    """
    pool = getattr(client, "connection_pool", None)
    settings = getattr(pool, "connection_kwargs", None)
    if settings is None:
        return (_CLUSTER, *(node.name for node in client.get_nodes())) if is_cluster(client) else None
    if (path := settings.get("path")) is not None:
        return ("unix", path)
    if (service := getattr(pool, "service_name", None)) is not None:
        sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
        addresses = [sentinel.connection_pool.connection_kwargs for sentinel in sentinels]
        return ("sentinel", service, *sorted((str(address.get("host")), address.get("port")) for address in addresses))
    return ("tcp", settings.get("host", "localhost"), int(settings.get("port", 6379)))


def database_of(client: Any) -> int:
    """The number of the database that a Redis client uses."""
    return home_db(client)


def _is_same(one: Server, other: Server | None) -> bool:
    """Whether it is one server; two clients may have looked at their cluster before and after a node joined it."""
    if other is not None and one[0] == other[0] == _CLUSTER:
        return not set(one[1:]).isdisjoint(other[1:])
    return one == other
