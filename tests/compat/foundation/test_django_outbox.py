"""The outbox through Django's ORM: in the project's transactions, moved by its command and by ``svcjobs outbox``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, inspect

from svcjobs.redis_queue import RedisJobQueue
from tests.databases import KINDS, Database, drop_tables
from tests.server_program import ROOT
from tests.servers import RedisServer

SUITE = Path(__file__).with_name("django_outbox_suite.py")
ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mariadb": "mysql"}
SETTINGS = """
import json, os, pymysql
pymysql.install_as_MySQLdb()
SECRET_KEY = "of a test"
INSTALLED_APPS = ["svcjobs_celery_compat.contrib.django.outbox"]
DATABASES = {"default": json.loads(os.environ["DJANGO_DATABASE"])}
USE_TZ = "NO_ZONES" not in os.environ
"""


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, database_of: Callable[[str], Database]) -> Iterator[Database]:
    database = database_of(request.param)
    yield database
    engine = create_engine(database.url)
    drop_tables(engine)
    engine.dispose()


def environment(database: Database, folder: Path) -> dict[str, str]:
    address = database.address
    entry = {
        "ENGINE": f"django.db.backends.{ENGINES[database.kind]}", "NAME": address.database,
        "USER": address.username or "", "PASSWORD": address.password or "",
        "HOST": address.host or "", "PORT": address.port or "",
    }  # fmt: skip
    (folder / "shop_settings.py").write_text(SETTINGS)
    paths = os.pathsep.join((str(folder), str(ROOT)))
    return {**os.environ, "DJANGO_DATABASE": json.dumps(entry), "PYTHONPATH": paths} | {
        "DJANGO_SETTINGS_MODULE": "shop_settings"
    }


def run(*command: str, env: dict[str, str], folder: Path, code: int = 0) -> str:
    """What a Python program with these arguments prints, errors too."""
    done = subprocess.run(
        [sys.executable, *command], env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def test_the_store_does_what_the_other_stores_do(database: Database, tmp_path: Path) -> None:
    env = environment(database, tmp_path)
    del env["DJANGO_SETTINGS_MODULE"]
    # connections of the suite's threads are closed by nobody
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::ResourceWarning",
        "-W",
        "ignore::pytest.PytestUnraisableExceptionWarning",
    )
    assert " passed" in run("-m", "pytest", *options, str(SUITE), env=env, folder=ROOT)


PRODUCER = """
import django
django.setup()
from django.core.management import call_command
from django.db import transaction
from svcjobs_celery_compat.contrib.django.outbox.store import DjangoOutboxStore
call_command("migrate", verbosity=0)
outbox = DjangoOutboxStore()
for number in range(6):
    try:
        with transaction.atomic():
            outbox.enqueue("Aa"[number % 2], {"number": number})
            if number >= 4:
                raise LookupError
    except LookupError:
        pass
"""


def test_committed_messages_are_moved_by_either_relay(
    database: Database, tmp_path: Path, redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    env = environment(database, tmp_path) | {
        "JOBS_DRIVER": "redis",
        "JOBS_REDIS_URL": redis_server.url,
        "JOBS_PREFIX": prefix,
    }
    command = ("-m", "django", "outbox_relay", "--drain")
    assert "run manage.py migrate" in run(*command, env=env, folder=tmp_path, code=78)
    run("-c", PRODUCER, env=env, folder=tmp_path)

    cli = ("-m", "svcjobs", "outbox", "relay", "--drain", "--database", database.url, "--topics", "A")
    assert "moved 2 messages" in run(*cli, env=env, folder=tmp_path)
    assert "moved 2 messages" in run(*command, env=env, folder=tmp_path)
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        jobs = queue.reserve_many(10)
    assert [(job.name, job.payload["payload"]["number"]) for job in jobs] == [
        ("outbox.A", 0), ("outbox.A", 2), ("outbox.a", 1), ("outbox.a", 3),
    ]  # fmt: skip
    engine = create_engine(database.url)
    indexes = {index["name"] for index in inspect(engine).get_indexes("svcjobs_outbox")}
    engine.dispose()
    partial = {"svcjobs_outbox_pending"} if database.kind != "mariadb" else set[Any]()
    assert indexes == {"svcjobs_outbox_processed"} | partial


def test_a_project_without_time_zones_and_one_without_redis_are_told(
    database_of: Callable[[str], Database], tmp_path: Path
) -> None:
    env = environment(database_of("sqlite"), tmp_path) | {"NO_ZONES": "1"}
    assert "Set USE_TZ = True" in run("-m", "django", "check", env=env, folder=tmp_path, code=1)
    del env["NO_ZONES"]
    env["DJANGO_DATABASE"] = json.dumps({"ENGINE": "django.db.backends.sqlite3", "NAME": "own.db"})
    run("-c", PRODUCER, env=env, folder=tmp_path)
    said = run("-m", "django", "outbox_relay", "--drain", "--redis-url", "redis://:hush@127.0.0.1:1/0", env=env,
               folder=tmp_path, code=69)  # fmt: skip
    assert "hush" not in said
