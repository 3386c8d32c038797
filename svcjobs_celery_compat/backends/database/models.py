"""The tables that results are kept in, which are Celery's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, MetaData, Sequence, String, Table, Text
from sqlalchemy.orm import DeclarativeBase

from svcjobs_celery_compat import states

TASK_TABLE, TASKSET_TABLE = "celery_taskmeta", "celery_tasksetmeta"
EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue", "stamps")


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)  # the column has no time zone


def _id_column(sequence: str, schema: str | None) -> Column[Any]:
    kind = Integer().with_variant(BigInteger(), "mssql")
    return Column("id", kind, Sequence(sequence, schema=schema), primary_key=True, autoincrement=True)


def _date_done() -> Column[Any]:
    return Column("date_done", DateTime, default=_utc_now, onupdate=_utc_now, nullable=True, index=True)


def task_table(metadata: MetaData, name: str = TASK_TABLE, schema: str | None = None) -> Table:
    """The table of results."""
    return Table(
        name,
        metadata,
        _id_column("task_id_sequence", schema),
        Column("task_id", String(155), unique=True),
        Column("status", String(50), default=states.PENDING),
        Column("result", LargeBinary, nullable=True),
        _date_done(),
        Column("traceback", Text, nullable=True),
        Column("children", LargeBinary, nullable=True),
        Column("name", String(155), nullable=True),
        Column("args", LargeBinary, nullable=True),
        Column("kwargs", LargeBinary, nullable=True),
        Column("worker", String(155), nullable=True),
        Column("retries", Integer, nullable=True),
        Column("queue", String(155), nullable=True),
        Column("stamps", LargeBinary, nullable=True),
        schema=schema,
        sqlite_autoincrement=True,
    )


def taskset_table(metadata: MetaData, name: str = TASKSET_TABLE, schema: str | None = None) -> Table:
    """The table of groups."""
    return Table(
        name,
        metadata,
        _id_column("taskset_id_sequence", schema),
        Column("taskset_id", String(155), unique=True),
        Column("result", LargeBinary, nullable=True),
        Column("date_done", DateTime, default=_utc_now, nullable=True, index=True),
        schema=schema,
        sqlite_autoincrement=True,
    )


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of a row; None for a column that an old table doesn't have."""
    values: dict[str, Any] = {}
    for name in names:
        try:
            values[name] = getattr(row, name)
        except Exception:  # noqa: BLE001  # each database has its own error for it
            values[name] = None
    return values


class TaskRow:
    """What is stored about a task."""

    FIELDS: tuple[str, ...] = ("task_id", "status", "result", "traceback", "date_done", "children")

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id

    def to_dict(self) -> dict[str, Any]:
        """All of it."""
        return _fields(self, self.FIELDS)

    def __repr__(self) -> str:
        return f"<Task {self.task_id} state: {getattr(self, 'status', None)}>"


class TaskSetRow:
    """What is stored about a group."""

    def __init__(self, taskset_id: str, result: Any) -> None:
        self.taskset_id = taskset_id
        self.result = result

    def to_dict(self) -> dict[str, Any]:
        """All of it."""
        return _fields(self, ("taskset_id", "result", "date_done"))

    def __repr__(self) -> str:
        return f"<TaskSet: {self.taskset_id}>"


class ResultModelBase(DeclarativeBase):
    """Base of the mapped classes; its metadata has the tables."""


_TASKS = task_table(ResultModelBase.metadata)


class Task(TaskRow, ResultModelBase):
    """A task's result."""

    __tablename__ = _TASKS.name
    __table__ = _TASKS
    __mapper_args__ = {"exclude_properties": EXTENDED}  # noqa: RUF012  # SQLAlchemy reads it


class TaskExtended(TaskRow, ResultModelBase):
    """A task's result with what ``result_extended`` adds."""

    FIELDS = (*TaskRow.FIELDS, *EXTENDED)
    __tablename__ = _TASKS.name
    __table__ = _TASKS


class TaskSet(TaskSetRow, ResultModelBase):
    """A group."""

    __tablename__ = TASKSET_TABLE
    __table__ = taskset_table(ResultModelBase.metadata)


class Models(NamedTuple):
    """The classes that one backend uses."""

    task: Any
    task_extended: Any
    taskset: Any
    metadata: MetaData


def models(table_names: dict[str, str], table_schemas: dict[str, str]) -> Models:
    """The classes for these names and schemas (``task`` and ``group``) of tables."""
    if not table_names and not table_schemas:
        return Models(Task, TaskExtended, TaskSet, ResultModelBase.metadata)

    class Base(DeclarativeBase):
        pass

    tasks = task_table(Base.metadata, table_names.get("task") or TASK_TABLE, table_schemas.get("task"))
    groups = taskset_table(Base.metadata, table_names.get("group") or TASKSET_TABLE, table_schemas.get("group"))
    plain = {"__table__": tasks, "__mapper_args__": {"exclude_properties": EXTENDED}}
    extended = {"__table__": tasks, "FIELDS": TaskExtended.FIELDS}
    return Models(
        type("Task", (TaskRow, Base), plain),
        type("TaskExtended", (TaskRow, Base), extended),
        type("TaskSet", (TaskSetRow, Base), {"__table__": groups}),
        Base.metadata,
    )
