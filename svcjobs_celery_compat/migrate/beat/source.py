"""Entries of a Celery schedule, whatever it is kept in."""

from __future__ import annotations

import io
import json
import pickle
import shelve
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.beat.entry import ScheduleEntry
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.schedules import ParseException, crontab, schedule, solar
from svcjobs_celery_compat.utils.time import maybe_make_aware

_OURS = {
    ("celery.beat", "ScheduleEntry"): ScheduleEntry,
    ("celery.schedules", "crontab"): crontab,
    ("celery.schedules", "schedule"): schedule,
    ("celery.schedules", "solar"): solar,
}
_PLAIN = {
    ("datetime", "datetime"), ("datetime", "timedelta"), ("datetime", "timezone"),
    ("zoneinfo", "ZoneInfo"), ("zoneinfo", "ZoneInfo._unpickle"),
    ("builtins", "set"), ("builtins", "frozenset"), ("collections", "OrderedDict"),
}  # fmt: skip

_TABLE = "django_celery_beat_"
_KINDS = ("crontab", "interval", "solar", "clocked")
_OPTIONS = ("queue", "exchange", "routing_key", "priority", "expires", "expire_seconds", "headers")


@dataclass(slots=True)
class Found:
    """An entry as it was found.

    Args:
        name: of the entry.
        entry: the entry; None when it can't be read.
        timezone: of its crontab, where it has its own.
        problems: what is lost, in sentences.
    """

    name: str
    entry: ScheduleEntry | None
    timezone: Any = None
    problems: list[str] = field(default_factory=list)


def of_app(app: Any) -> Iterator[Found]:
    """The entries of ``beat_schedule``, with those that ``add_periodic_task`` adds."""
    app.loader.import_default_modules()
    app.finalize()
    for name, fields in app.conf.beat_schedule.items():
        yield Found(name, ScheduleEntry(**{**dict(fields), "name": name, "app": app}))


def of_file(path: Path) -> Iterator[Found]:
    """The entries of a ``celerybeat-schedule`` file. Nothing that it names is imported.

    Raises:
        ConfigurationError: it can't be read.
    """
    base = path.with_suffix("") if path.suffix in (".db", ".dat", ".dir", ".bak") else path
    try:
        with _Shelf(str(base), flag="r") as store:
            entries = store["entries"]
    except Exception as error:
        raise ConfigurationError(f"{path} can't be read as the file of a Celery beat: {error!r}") from error
    for name, entry in entries.items():
        if isinstance(entry, ScheduleEntry):
            yield Found(name, entry)
        else:
            yield Found(name, None, problems=[f"it is a {type(entry).__name__}, a class of your own"])


def of_database(url: str) -> Iterator[Found]:
    """The entries of django-celery-beat in a database, by its SQLAlchemy URL.

    Raises:
        ConfigurationError: SQLAlchemy isn't installed, or the tables can't be read.
    """
    try:
        import sqlalchemy
    except ImportError:
        raise ConfigurationError(
            "reading a database needs SQLAlchemy: pip install 'svcjobs[sql]', and the driver of the database"
        ) from None
    try:
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:

            def rows(table: str) -> list[Mapping[str, Any]]:
                query = sqlalchemy.text(f"SELECT * FROM {_TABLE}{table}")  # noqa: S608  # names of our own
                return [dict(row) for row in connection.execute(query).mappings()]

            timings = {kind: {row["id"]: row for row in rows(f"{kind}schedule")} for kind in _KINDS}
            tasks = rows("periodictask")
        engine.dispose()
    except ImportError as error:
        raise ConfigurationError(f"the driver of the database isn't installed: {error}") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise ConfigurationError(f"the tables of django-celery-beat can't be read: {type(error).__name__}") from error
    for row in tasks:
        if row["enabled"]:
            yield _of_row(row, timings)


def _of_row(row: Mapping[str, Any], timings: Mapping[str, Mapping[Any, Mapping[str, Any]]]) -> Found:
    found = Found(row["name"], None)
    kind = next((kind for kind in _KINDS if row.get(f"{kind}_id") is not None), None)
    if kind is None:
        found.problems.append("it has no schedule")
        return found
    timing_row = timings[kind][row[f"{kind}_id"]]
    try:
        timing = _timing(kind, timing_row)
    except (ValueError, TypeError, ParseException, ImproperlyConfigured) as error:
        found.problems.append(f"its schedule can't be used: {error}")
        return found
    if timing is None:
        found.problems.append("it runs once, at a time of the clock: enqueue a job with a delay instead")
        return found
    lost = [name for name in ("one_off", "start_time") if row.get(name)]
    found.problems += [f"{name} has no counterpart" for name in lost]
    found.timezone = timing_row.get("timezone")
    options = {name: row[name] for name in _OPTIONS if row.get(name) not in (None, "", "{}")}
    last_run_at = row.get("last_run_at")
    found.entry = ScheduleEntry(
        name=row["name"],
        task=row["task"],
        last_run_at=_instant(last_run_at) if last_run_at else datetime.now(UTC),
        schedule=timing,
        args=json.loads(row["args"] or "[]"),
        kwargs=json.loads(row["kwargs"] or "{}"),
        options=options,
    )
    return found


def _timing(kind: str, row: Mapping[str, Any]) -> Any:
    if kind == "crontab":
        fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
        return crontab(*(row[name] for name in fields))
    if kind == "interval":
        return schedule(timedelta(**{row["period"]: row["every"]}))
    if kind == "solar":
        return solar(row["event"], float(row["latitude"]), float(row["longitude"]))
    return None


def _instant(value: Any) -> datetime:
    """Databases without time zones return text, or naive times: both are in UTC."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return maybe_make_aware(at).astimezone(UTC)


class _Absent:
    """Stands for an object of a class that isn't looked up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Whatever it is made of."""

    def __setstate__(self, state: Any) -> None:
        """Whatever it has."""


class _Reader(pickle.Unpickler):
    """Knows the few classes that a schedule is made of; all others are left out."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        return _OURS.get((module, name)) or type(name, (_Absent,), {})


class _Shelf(shelve.DbfilenameShelf[Any]):
    def __getitem__(self, key: str) -> Any:
        return _Reader(io.BytesIO(self.dict[key.encode(self.keyencoding)])).load()  # type: ignore[attr-defined]
