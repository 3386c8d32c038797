"""In whose transaction a SQL store works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from sqlalchemy import Engine
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from svcjobs.errors import ConfigurationError

SessionSource: TypeAlias = Session | scoped_session[Any] | Callable[[], Session]

DIALECTS = ("postgresql", "mysql", "mariadb", "sqlite")


class Transactions:
    """Opens the transactions of one store.

    What belongs to the caller's work runs in the caller's session (:meth:`callers`). All else runs in a short
    transaction of its own (:meth:`own`) on another session of the same engine: nobody would commit the caller's
    session for a worker, and a worker's thread must not touch it, since a session isn't thread-safe.

    Args:
        source: a session, a ``scoped_session``, or a factory such as a ``sessionmaker``. Given a factory there
            is no caller's transaction to join, so every call is a transaction of its own.

    Raises:
        ConfigurationError: ``source`` is none of these.
    """

    def __init__(self, source: SessionSource) -> None:
        self._joined: Session | scoped_session[Any] | None = None
        if isinstance(source, Session):
            self._joined = source
            self._factory: Callable[[], Session] = lambda: Session(_engine_of(source))
        elif isinstance(source, scoped_session):
            self._joined = source
            self._factory = source.session_factory
        elif callable(source):
            self._factory = source
        else:
            raise ConfigurationError(f"a {type(source).__name__} was given: give a Session or a sessionmaker")

    @contextmanager
    def callers(self) -> Iterator[Session]:
        """The caller's session, left for the caller to commit; without one, :meth:`own`."""
        if self._joined is None:
            with self.own() as session:
                yield session
            return
        session = self._joined() if isinstance(self._joined, scoped_session) else self._joined
        check(session)
        yield session

    @contextmanager
    def own(self) -> Iterator[Session]:
        """A new session, committed at the end of the block, or rolled back when it raises."""
        session = self._factory()
        if not isinstance(session, Session):
            raise ConfigurationError(f"the factory makes a {type(session).__name__}: give one that makes a Session")
        with session, session.begin():
            begin(session)
            yield session


def check(session: Session) -> None:
    """Refuse a session whose database isn't one that the stores know.

    Raises:
        ConfigurationError: it isn't, or there is none.
    """
    dialect = _engine_of(session).dialect.name
    if dialect not in DIALECTS:
        raise ConfigurationError(f"the database is {dialect}: use one of {', '.join(DIALECTS)}")


def begin(session: Session) -> None:
    """Check the session, and choose how its transaction, which has done nothing yet, sees others' work.

    READ COMMITTED: at other levels a relay on PostgreSQL fails where it would skip, and one on MySQL, whose level is
    REPEATABLE READ, locks the gap behind the last row, in which producers wait to insert.
    """
    check(session)
    bind = session.get_bind()
    # a connection that was handed in has its transaction, and that its level
    if isinstance(bind, Engine) and bind.dialect.name != "sqlite":
        session.connection(execution_options={"isolation_level": "READ COMMITTED"})


def _engine_of(session: Session) -> Any:
    try:
        return session.get_bind()
    except UnboundExecutionError as error:
        raise ConfigurationError("the session has no engine: make it with Session(engine)") from error
