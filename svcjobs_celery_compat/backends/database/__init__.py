"""Results in a database of SQLAlchemy's: ``db+postgresql://user:password@host/name``, ``db+sqlite:///results.db``."""

import logging

from sqlalchemy.exc import DatabaseError, InterfaceError, InvalidRequestError
from sqlalchemy.orm.exc import StaleDataError

logger = logging.getLogger("celery.backends.database")

from svcjobs_celery_compat.backends.database.backend import DatabaseBackend, session_cleanup  # noqa: E402  # they log
from svcjobs_celery_compat.backends.database.models import Task, TaskExtended, TaskSet  # noqa: E402
from svcjobs_celery_compat.backends.database.session import SessionManager  # noqa: E402

__all__ = (
    "DatabaseBackend",
    "DatabaseError",
    "InterfaceError",
    "InvalidRequestError",
    "SessionManager",
    "StaleDataError",
    "Task",
    "TaskExtended",
    "TaskSet",
    "logger",
    "session_cleanup",
)
