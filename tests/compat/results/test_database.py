"""Results in a database: Celery's tables, and what it keeps in them."""

from __future__ import annotations

import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.compat.results.sides import PACKAGES, Names

pytestmark = [  # its connections to sqlite are closed when they are collected
    pytest.mark.filterwarnings("ignore:Exception ignored in. <sqlite3:pytest.PytestUnraisableExceptionWarning"),
]


def make_app(package: str, path: Path, **conf: Any) -> Any:
    celery = import_module(package).Celery
    app = celery("proj", broker="memory://", backend=f"db+sqlite:///{path}", set_as_current=False)
    app.conf.update(conf)
    return app


@pytest.mark.parametrize(
    "dialect", [sqlite, postgresql, mysql, mssql], ids=lambda each: each.__name__.rsplit(".", 1)[-1]
)
@pytest.mark.parametrize("model", ["TaskExtended", "TaskSet"])
def test_the_tables_are_celerys(model: str, dialect: Any) -> None:
    def created(package: str) -> list[str]:
        table = getattr(import_module(f"{package}.backends.database.models"), model).__table__
        parts = [CreateTable(table), *(CreateIndex(index) for index in table.indexes)]
        return [str(part.compile(dialect=dialect.dialect())) for part in parts]

    assert created(PACKAGES["facade"]) == created(PACKAGES["celery"])


@pytest.mark.parametrize("model", ["Task", "TaskExtended", "TaskSet"])
def test_the_models_name_their_tables(model: str) -> None:
    theirs, ours = (getattr(import_module(f"{PACKAGES[side]}.backends.database.models"), model) for side in PACKAGES)
    assert theirs.__tablename__ == ours.__tablename__ == theirs.__table__.name == ours.__table__.name


def stores(package: str, app: Any) -> None:
    context = import_module(f"{package}.app.task").Context
    backend = app.backend
    request = context(
        task="proj.add", args=[1], kwargs={"k": None}, hostname="w1", retries=2, delivery_info={"routing_key": "q"},
        stamped_headers=["by", "absent"], stamps={"by": "me"},
    )  # fmt: skip
    request.children.append(app.AsyncResult("kid"))
    backend.mark_as_started("started", pid=1)
    backend.mark_as_done("done", {"x": [1]}, request=request)
    backend.mark_as_failure("done", KeyError("late"))
    backend.mark_as_failure("failed", KeyError("x"), traceback="tb")
    backend.mark_as_done("forgotten", 1)
    backend.forget("forgotten")
    app.GroupResult("group", [app.AsyncResult("a"), app.AsyncResult("b")]).save()
    app.GroupResult("deleted", []).save()
    app.GroupResult("deleted", []).delete()


def rows(path: Path) -> dict[str, list[Any]]:
    names = Names()
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]
            for table in ("celery_taskmeta", "celery_tasksetmeta")
        }
    connection.close()
    for row in tables["celery_taskmeta"]:
        if row["status"] == "STARTED":
            row["date_done"] = None  # Celery has none, and never removes it
    return names.of(tables)


@pytest.mark.parametrize("conf", [{}, {"result_extended": True}], ids=["plain", "extended"])
def test_the_rows_are_celerys_and_each_reads_the_others(tmp_path: Path, conf: dict[str, Any]) -> None:
    apps = {name: make_app(package, tmp_path / f"{name}.db", **conf) for name, package in PACKAGES.items()}
    for name, app in apps.items():
        stores(PACKAGES[name], app)
    assert rows(tmp_path / "facade.db") == rows(tmp_path / "celery.db")

    reader = make_app(PACKAGES["facade"], tmp_path / "celery.db", **conf)
    other = make_app(PACKAGES["celery"], tmp_path / "facade.db", **conf)
    for task_id in ("started", "done", "failed", "forgotten"):
        ours, theirs = reader.backend.get_task_meta(task_id), other.backend.get_task_meta(task_id)
        assert (ours["date_done"] is not None) == (task_id in ("done", "failed"))
        for meta in (ours, theirs):
            meta.pop("date_done")
            meta["result"] = repr(meta["result"])
        assert ours == theirs
    assert reader.AsyncResult("done").children[0].id == "kid"
    assert [each.id for each in reader.GroupResult.restore("group")] == ["a", "b"]
    for app in (*apps.values(), reader, other):
        app.close()


def test_a_pickled_row_is_refused_unless_pickle_is_accepted(tmp_path: Path) -> None:
    app = make_app(PACKAGES["facade"], tmp_path / "x.db")
    app.backend.mark_as_done("t", 1)
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("UPDATE celery_taskmeta SET result = ?", (b"\x80\x04K\x05.",))
    connection.close()

    with pytest.raises(Exception, match=r"codec|decode|Expecting"):
        app.backend.get_task_meta("t", cache=False)
    app.conf.accept_content = ["json", "pickle"]
    assert app._get_backend().get_task_meta("t")["result"] == 5
    app.close()


def test_old_results_are_removed(tmp_path: Path) -> None:
    app = make_app(PACKAGES["facade"], tmp_path / "x.db", result_expires=60)
    app.backend.mark_as_done("old", 1)
    app.backend.mark_as_done("new", 1)
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("UPDATE celery_taskmeta SET date_done = '2020-01-01 00:00:00.000000' WHERE task_id = 'old'")
    connection.close()

    app.backend.cleanup()

    assert [app.AsyncResult(task_id).exists() for task_id in ("old", "new")] == [False, True]
    app.close()
