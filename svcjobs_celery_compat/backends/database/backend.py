"""Results in a database."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from kombu.utils.encoding import ensure_bytes
from kombu.utils.imports import symbol_by_name
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError, InterfaceError, InvalidRequestError
from sqlalchemy.orm import defer
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy.orm.exc import StaleDataError

from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends import database as names
from svcjobs_celery_compat.backends.base import BaseBackend
from svcjobs_celery_compat.backends.database.models import EXTENDED, _utc_now, models
from svcjobs_celery_compat.backends.database.session import SessionManager
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.result import result_from_tuple
from svcjobs_celery_compat.utils.time import maybe_timedelta

RETRYABLE_DB_ERRORS = (DatabaseError, InterfaceError, InvalidRequestError, StaleDataError)
ENGINE_OPTIONS = {"pool_pre_ping": True, "pool_recycle": 3600}
PICKLE_CONTENT_TYPE = "application/x-python-serialize"
NEW_COLUMNS = ("children", "stamps")  # that tables of older versions don't have
DEFAULT_RETRIES = 3


@contextmanager
def session_cleanup(session: Any) -> Iterator[None]:
    """Close a session in the end, and undo what it did when that failed."""
    try:
        yield
    except Exception:
        session.rollback()
        raise
    finally:
        session.close()


class DatabaseBackend(BaseBackend):
    """Results in a database, in Celery's tables.

    Errors of the database are tried again, three times by default (``result_backend_max_retries``).

    Args:
        dburi: the database's URL, as SQLAlchemy has them; ``database_url`` by default.
        engine_options: for ``create_engine``; added to ``database_engine_options``.
        url: the same as `dburi`, and before it.
        kwargs: those of :class:`Backend`, and `engine_callback`: called with each engine that is made.

    Raises:
        ImproperlyConfigured: there is no URL, or the callback can't be called.
    """

    subpolling_interval = 0.5  # longer ones make the database less busy

    def __init__(
        self,
        dburi: str | None = None,
        engine_options: dict[str, Any] | None = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        callback = kwargs.pop("engine_callback", None)
        super().__init__(expires_type=maybe_timedelta, url=url, **kwargs)
        conf = self.app.conf
        self.url: str = url or dburi or conf.database_url
        if not self.url:
            raise ImproperlyConfigured(
                "Missing connection string: set result_backend to a URL such as db+sqlite:///results.db"
            )
        self.engine_options = {**ENGINE_OPTIONS, **(conf.database_engine_options or {}), **(engine_options or {})}
        self.short_lived_sessions = kwargs.get("short_lived_sessions", conf.database_short_lived_sessions)
        self.always_retry = self._configured("result_backend_always_retry", True)
        self.max_retries = self._configured("result_backend_max_retries", DEFAULT_RETRIES)
        classes = models(conf.database_table_names or {}, conf.database_table_schemas or {})
        self.task_cls = classes.task_extended if self.extended_result else classes.task
        self.taskset_cls = classes.taskset
        self.session_manager = SessionManager(
            self._callback(callback or conf.database_engine_callback), classes.metadata
        )
        if conf.database_create_tables_at_setup:
            self._create_tables()

    def _configured(self, name: str, default: Any) -> Any:
        """What the application says; the default of this backend isn't that of the others."""
        value = self.app.conf.get(name) if self.app.conf.value_set_for(name) else None
        return default if value is None else value

    @staticmethod
    def _callback(given: Any) -> Any:
        callback = symbol_by_name(given) if isinstance(given, str) else given
        if callback is not None and not callable(callback):
            raise ImproperlyConfigured(f"database_engine_callback is {given!r}: give a function, or the path of one")
        return callback

    @property
    def extended_result(self) -> bool:
        """Whether the name, arguments … of tasks are stored as well."""
        return bool(self.app.conf.result_extended)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether it is an error of the database."""
        return isinstance(exc, RETRYABLE_DB_ERRORS)

    def on_backend_retryable_error(self, exc: BaseException) -> None:
        """Connect anew before trying again."""
        self.session_manager.invalidate(self.url)

    def _create_tables(self) -> None:
        self._ensure_retryable(lambda: self.ResultSession().close())

    def ResultSession(self, session_manager: Any = None) -> Any:
        """A session."""
        manager = session_manager or self.session_manager
        return manager.session_factory(
            dburi=self.url, short_lived_sessions=self.short_lived_sessions, **self.engine_options
        )

    def _query_task(self, session: Any, task_id: str, for_update: bool = False) -> Any:
        """The row of a task, None when there is none; a column that the table lacks isn't asked for."""
        query = session.query(self.task_cls)
        if for_update:
            query = query.with_for_update().populate_existing()
        try:
            return _first(query.filter(self.task_cls.task_id == task_id))
        except DatabaseError as error:
            missing = [name for name in NEW_COLUMNS if name in str(error) and hasattr(self.task_cls, name)]
            if not missing:
                raise
            session.rollback()
            for name in missing:
                query = query.options(defer(getattr(self.task_cls, name)))
            return _first(query.filter(self.task_cls.task_id == task_id))

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> None:
        session = self.ResultSession()
        with session_cleanup(session):
            task = self._query_task(session, task_id)
            if task is None:
                task = self.task_cls(task_id)
                session.add(task)
            elif task.status != states.SUCCESS:
                task = self._query_task(session, task_id, for_update=True) or task
            if task.status == states.SUCCESS:
                return  # a copy of the task is late: success stays
            self._update_result(task, result, state, traceback=traceback, request=request)
            session.commit()

    def _update_result(self, task: Any, result: Any, state: str, traceback: Any = None, request: Any = None) -> None:
        meta = self._get_result_meta(
            result=result, state=state, traceback=traceback, request=request, format_date=False, encode=True
        )
        headers = meta.get("stamped_headers")
        stamps = {"stamped_headers": headers, "stamps": {each: meta[each] for each in headers or () if each in meta}}
        values = {
            **meta,
            "result": ensure_bytes(self.encode(result)),
            "children": ensure_bytes(self.encode(meta["children"])) if meta["children"] else None,
            "stamps": ensure_bytes(self.encode(stamps)) if headers else None,
        }
        row: Any = inspect(task, raiseerr=False)
        missing = row.unloaded if row is not None and row.persistent else ()  # columns that the table lacks
        for name in ("status", "result", "traceback", "children", *EXTENDED):
            if hasattr(type(task), name) and name not in missing:
                setattr(task, name, values.get(name))
                flag_modified(task, name)  # the row may have changed since it was read

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        session = self.ResultSession()
        with session_cleanup(session):
            task = self._query_task(session, task_id)
            if task is None:
                task = self.task_cls(task_id)
                task.status, task.result = states.PENDING, None
            data = task.to_dict()
        if data["status"] not in self.READY_STATES:
            data["date_done"] = None  # the row has a date all the same, so that cleanup finds what is never done
        data["result"] = self._decode_stored_result(data["result"])
        for name in ("args", "kwargs", "children"):
            if data.get(name) is not None:
                data[name] = self.decode(data[name])
        data.update(self._stamps(data.pop("stamps", None)))
        return self.meta_from_decoded(data)

    def _stamps(self, stored: Any) -> dict[str, Any]:
        try:
            stamps = self.decode(stored) if stored else None
        except Exception as error:  # noqa: BLE001  # any that a serializer has; the result is worth more
            names.logger.warning("The stamps of a result can't be read: %r", error)
            return {}
        if not isinstance(stamps, Mapping):
            return {}
        headers = stamps.get("stamped_headers")
        found = {"stamped_headers": headers} if headers else {}
        return {**found, **(stamps.get("stamps") or {})}

    def _decode_stored_result(self, payload: Any) -> Any:
        """A stored result; before Celery 5.7 all were pickled, and those are read when pickle is accepted."""
        if payload is None:
            return None
        try:
            return self.decode(payload)
        except Exception:
            if not bytes(payload).startswith(b"\x80") or PICKLE_CONTENT_TYPE not in self.accept:
                raise
        names.logger.warning("A result is pickled, as all were before Celery 5.7")
        return pickle.loads(payload)  # noqa: S301  # the application accepts pickle

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is stored about a task."""
        return bool(self._ensure_retryable(lambda: self._task_result_exists(task_id)))

    def _task_result_exists(self, task_id: str) -> bool:
        session = self.ResultSession()
        with session_cleanup(session):
            return session.query(self.task_cls.id).filter(self.task_cls.task_id == task_id).first() is not None

    def _save_group(self, group_id: str, result: Any) -> Any:
        session = self.ResultSession()
        with session_cleanup(session):
            session.add(self.taskset_cls(group_id, ensure_bytes(self.encode(self.prepare_value(result)))))
            session.commit()
        return result

    def _restore_group(self, group_id: str) -> Any:
        session = self.ResultSession()
        with session_cleanup(session):
            group = session.query(self.taskset_cls).filter(self.taskset_cls.taskset_id == group_id).first()
            data = group.to_dict() if group else None
        if data is None:
            return None
        result = self._decode_stored_result(data["result"])
        data["result"] = result_from_tuple(result, self.app) if isinstance(result, list | tuple) else result
        return data

    def _delete_group(self, group_id: str) -> None:
        self._delete(self.taskset_cls, self.taskset_cls.taskset_id == group_id)

    def _forget(self, task_id: str) -> None:
        self._delete(self.task_cls, self.task_cls.task_id == task_id)

    def _delete(self, cls: Any, condition: Any) -> None:
        session = self.ResultSession()
        with session_cleanup(session):
            session.query(cls).filter(condition).delete(synchronize_session=False)
            session.commit()

    def cleanup(self) -> None:
        """Remove results and groups that are older than ``result_expires``."""
        self._ensure_retryable(lambda: self._cleanup())

    def _cleanup(self) -> None:
        if not self.expires:
            return
        before = _utc_now() - timedelta(seconds=self.expires.total_seconds())
        for cls in (self.task_cls, self.taskset_cls):
            self._delete(cls, cls.date_done < before)

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        given = {"dburi": self.url, "expires": self.expires, "engine_options": self.engine_options}
        return super().__reduce__(args, {**given, **(kwargs or {})})


def _first(rows: Any) -> Any:
    return next(iter(rows), None)
