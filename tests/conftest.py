"""The servers that tests run against, and the prefix that keeps them apart."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import celery.app.builtins  # noqa: F401  # what every app has is there from the start
import pytest
import redis
from celery import _state as celerys_state
from sqlalchemy import Engine, create_engine

import svcjobs_celery_compat.app.builtins  # noqa: F401  # as above
from svcjobs.db.tables import create_tables
from svcjobs_celery_compat import _state as our_state
from tests.databases import KINDS, Database, NoDatabase, drop_tables, new_database
from tests.server_program import NoServer, ServerProgram, choose_server
from tests.servers import Cluster, RedisServer, start_cluster

pytest_plugins = ["tests.alone", "tests.garbage"]
SERVER = pytest.StashKey[ServerProgram | None]()
MISSING = "no Redis or Valkey server here: install one, or run `make setup` on Linux x86_64"
SERVER_FIXTURES = {"server_program", "redis_server", "redis_client", "own_server", "cluster"}


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell starts what runs in its background so, and the programs under test would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        config.stash[SERVER] = choose_server()
    except NoServer as error:
        raise pytest.UsageError(f"SVCJOBS_TEST_SERVER: {error}") from error


def pytest_report_header(config: pytest.Config) -> str:
    return f"server: {config.stash[SERVER] or MISSING}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a server. Without one it is skipped by name, and under CI it fails in its fixture."""
    for item in items:
        if SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)
    if config.stash[SERVER] or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("server"):
            item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(autouse=True)
def shared_tasks() -> Iterator[None]:
    """A task that every app has (``shared``) is a task of the test that defines it, on Celery and on ours."""
    before = [(state._on_app_finalizers, set(state._on_app_finalizers)) for state in (celerys_state, our_state)]
    yield
    for finalizers, kept in before:
        finalizers.intersection_update(kept)


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """A worker that a test runs in its own process sets up the log, as Celery's does: that ends with the test."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def server_program(request: pytest.FixtureRequest) -> ServerProgram:
    """The server program that was chosen for this run."""
    program = request.config.stash[SERVER]
    if program is None and os.environ.get("CI"):
        pytest.fail(MISSING)
    if program is None:
        pytest.skip(MISSING)
    return program


@pytest.fixture(scope="session")
def redis_server(server_program: ServerProgram) -> Iterator[RedisServer]:
    """The run's own server, shared by all tests: use :func:`prefix`, don't flush it, don't stop it."""
    with RedisServer(server_program) as server:
        yield server


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the shared server, answers as bytes."""
    client = redis.Redis.from_url(redis_server.url)
    yield client
    client.close()


@pytest.fixture
def own_server(server_program: ServerProgram) -> Iterator[RedisServer]:
    """A server for one test that kills, pauses or fills it. Every write is synced before it is answered."""
    with RedisServer(server_program, appendonly=True) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(server_program: ServerProgram) -> Iterator[Cluster]:
    """Three nodes with a third of the slots each."""
    cluster = start_cluster(3, server_program)
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def database_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Database]]:
    """Gives the database of a kind that all tests of this process share; without its server the test is skipped."""
    with ExitStack() as closing:

        @cache
        def database_of(kind: str) -> Database | NoDatabase:
            try:
                return closing.enter_context(new_database(kind, tmp_path_factory.mktemp("database")))
            except NoDatabase as error:
                return error

        def found(kind: str) -> Database:
            database = database_of(kind)
            if isinstance(database, NoDatabase):
                (pytest.fail if os.environ.get("CI") else pytest.skip)(str(database))
            return database

        yield found


@pytest.fixture
def make_engine(database_of: Callable[[str], Database]) -> Iterator[Callable[[str], Engine]]:
    """Makes engines of the database of a kind, with empty tables of the stores, and of nothing else."""
    with ExitStack() as closing:

        def make(kind: str) -> Engine:
            engine = create_engine(database_of(kind).url)
            closing.callback(engine.dispose)
            closing.callback(drop_tables, engine)
            create_tables(engine)
            return engine

        yield make


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, make_engine: Callable[[str], Engine]) -> Engine:
    """An engine as of :func:`make_engine`, of each kind of database."""
    return make_engine(request.param)


@pytest.fixture
def prefix() -> str:
    """A queue prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"
