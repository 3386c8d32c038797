"""The SQL stores inside an application's transactions."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from benchmarks.outbox import fill
from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.db.inbox import InboxStore
from svcjobs.db.outbox import OutboxStore
from svcjobs.db.tables import create_tables, outbox
from svcjobs.errors import ConfigurationError
from svcjobs.memory_queue import InMemoryJobQueue
from tests.databases import KINDS


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, make_engine: Callable[[str], Engine]) -> Engine:
    engine = make_engine(request.param)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    return engine


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def add_user(session: Session) -> None:
    session.execute(text("INSERT INTO users VALUES ('zoe')"))


def test_the_tables_are_created_once(engine: Engine) -> None:
    OutboxStore(sessionmaker(engine)).enqueue("a", {})
    create_tables(engine)
    assert rows(engine, "svcjobs_outbox") == 1
    assert {"svcjobs_outbox", "svcjobs_inbox"} <= set(inspect(engine).get_table_names())


@pytest.mark.scenario(35)
def test_a_rollback_leaves_no_message(engine: Engine) -> None:
    with Session(engine) as session:
        add_user(session)
        OutboxStore(session).enqueue("user.created", {})
        session.rollback()
    assert (rows(engine, "users"), rows(engine, "svcjobs_outbox")) == (0, 0)


@pytest.mark.scenario(35)
def test_a_message_is_there_with_the_commit_and_not_before(engine: Engine) -> None:
    relay = OutboxStore(sessionmaker(engine))
    with Session(engine) as session:
        # the message first: the store must not commit the transaction that it begins
        message = OutboxStore(session).enqueue("user.created", {"name": "zoe"})
        add_user(session)
        assert relay.get(message.id) is None
        session.commit()
    assert relay.fetch_next() == message
    assert rows(engine, "users") == 1


def test_a_scoped_session_is_the_one_of_the_calling_thread(engine: Engine) -> None:
    sessions = scoped_session(sessionmaker(engine))
    outbox = OutboxStore(sessions)
    message = outbox.enqueue("a", {})
    sessions.rollback()
    assert outbox.get(message.id) is None
    message = outbox.enqueue("a", {})
    sessions.commit()
    assert outbox.fetch_next() == message
    sessions.remove()


def test_the_relays_verbs_leave_the_callers_session_alone(engine: Engine) -> None:
    with Session(engine) as session:
        outbox, inbox = OutboxStore(session), InboxStore(session)
        message = outbox.enqueue("a", {})
        session.commit()
        session.execute(text("SELECT 1"))  # the caller is in the middle of something

        def relay() -> None:
            assert outbox.fetch_next() == message
            outbox.mark_processed(message.id)
            inbox.mark("delivered")
            done.append(True)

        done: list[bool] = []
        thread = threading.Thread(target=relay)
        thread.start()
        thread.join()
        assert done
        assert session.in_transaction()
    processed = OutboxStore(sessionmaker(engine)).get(message.id)
    assert processed is not None
    assert processed.processed_at is not None
    assert InboxStore(sessionmaker(engine)).is_marked("delivered")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])  # which locks the whole file
def test_a_relay_passes_by_what_another_has_locked(make_engine: Callable[[str], Engine], kind: str) -> None:
    engine = make_engine(kind)
    store = OutboxStore(sessionmaker(engine))
    theirs, mine = store.enqueue("a", {}), store.enqueue("b", {})
    with Session(engine) as other, ThreadPoolExecutor(1) as relay:
        other.execute(select(outbox.c.id).where(outbox.c.id == theirs.id).with_for_update())
        try:
            assert relay.submit(store.fetch_many, 10).result(timeout=20) == [mine]
        finally:
            other.rollback()  # what waits for the lock goes on
    assert store.fetch_many(10) == [theirs]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_a_producer_doesnt_wait_for_a_relay(make_engine: Callable[[str], Engine], kind: str) -> None:
    """Of MySQL's and MariaDB's locks, those of the default isolation level hold up inserts behind the last row."""
    engine = make_engine(kind)
    store = OutboxStore(sessionmaker(engine))
    store.enqueue("a", {})
    claimed, stored = threading.Event(), threading.Event()

    def hold(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "UPDATE" in statement.upper().split("FROM")[0] and not claimed.is_set():
            claimed.set()
            assert stored.wait(20), "the insert waits for the relay's transaction"

    event.listen(engine, "after_cursor_execute", hold)
    with ThreadPoolExecutor(1) as relay:
        fetching = relay.submit(store.fetch_many, 10)
        assert claimed.wait(20)
        store.enqueue("a", {})
        stored.set()
        assert len(fetching.result(timeout=20)) == 1
    event.remove(engine, "after_cursor_execute", hold)
    assert rows(engine, "svcjobs_outbox") == 2


def test_mark_if_new_is_taken_back_with_the_work(engine: Engine) -> None:
    with Session(engine) as session:
        assert InboxStore(session).mark_if_new("k")
        add_user(session)
        session.rollback()
    assert not InboxStore(sessionmaker(engine)).is_marked("k")
    with Session(engine) as session:
        assert InboxStore(session).mark_if_new("k")
        add_user(session)
        session.commit()
    with Session(engine) as session:
        assert not InboxStore(session).mark_if_new("k")
    assert rows(engine, "users") == 1


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_transactions_that_race_for_a_key_wait_for_the_one_that_has_it(engine: Engine, ends: str) -> None:
    def work() -> bool:
        with Session(engine) as session:
            try:
                marked = InboxStore(session).mark_if_new("k")
            except OperationalError as error:
                # of those that waited for a row that was taken back MariaDB lets one have it, others are to try again
                if (engine.dialect.name, ends, error.orig and error.orig.args[0]) != ("mariadb", "rollback", 1213):
                    raise
                return False
            session.commit()
            return marked

    with Session(engine) as first, ThreadPoolExecutor(3) as pool:
        assert InboxStore(first).mark_if_new("k")
        add_user(first)
        others = [pool.submit(work) for _ in range(3)]
        done, _ = wait(others, timeout=1)
        assert not done
        getattr(first, ends)()
        assert sum(other.result(20) for other in others) == (0 if ends == "commit" else 1)


def test_processes_on_one_database_mark_a_key_once(engine: Engine) -> None:
    program = """
import sys
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from svcjobs.db.inbox import InboxStore
inbox = InboxStore(sessionmaker(create_engine(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
print(sum(inbox.mark_if_new(str(n)) for n in range(30)))
"""
    command = [sys.executable, "-c", program, url_of(engine)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    outputs = [process.communicate("\n", timeout=60)[0] for process in processes]
    assert sum(map(int, outputs)) == 30


def test_what_a_database_row_holds_can_be_read_by_eye(make_engine: Callable[[str], Engine]) -> None:
    engine = make_engine("sqlite")
    OutboxStore(sessionmaker(engine), clock=lambda: 1_700_000_000.5).enqueue("a", {"name": "Zoë"})
    with engine.connect() as connection:
        row = connection.execute(text("SELECT payload, created_at, processed_at FROM svcjobs_outbox")).one()
    assert row.payload == '{"name":"Zoë"}'
    assert datetime.fromisoformat(row.created_at).replace(tzinfo=UTC).timestamp() == 1_700_000_000.5
    assert row.processed_at is None


def test_postgresql_reads_a_batch_by_the_index_whatever_its_statistics_say(
    make_engine: Callable[[str], Engine],
) -> None:
    engine = make_engine("postgresql")
    fill(engine, 10_000)  # nobody has counted them yet
    statements: list[tuple[str, object]] = []
    event.listen(
        engine, "before_cursor_execute", lambda _, __, statement, values, *___: statements.append((statement, values))
    )
    assert len(OutboxStore(sessionmaker(engine)).fetch_many(100)) == 100
    (set_up,) = (statement for statement in statements if "set_config" in statement[0])
    reads = [statement for statement in statements if "SELECT svcjobs_outbox" in statement[0]]
    assert len(reads) == 3
    with engine.connect() as connection:
        connection.exec_driver_sql(*set_up)
        for statement, values in reads[:2]:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
            assert "Index Scan using svcjobs_outbox_pending" in plan
            assert "Sort" not in plan


@pytest.mark.parametrize("source", [None, "sqlite://", Session(), sessionmaker(), lambda: object()])
def test_what_is_no_session_is_refused(source: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Session|sessionmaker"):
        OutboxStore(source).fetch_next()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("module", "name", "package", "extra"),
    [
        ("svcjobs.db.outbox", "OutboxStore", "sqlalchemy", "sql"),
        ("svcjobs.db.inbox", "InboxStore", "sqlalchemy", "sql"),
        ("svcjobs.builtins.webhook_delivery", "make_webhook_handler", "httpx", "webhooks"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(module: str, name: str, package: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
import svcjobs.db.outbox, svcjobs.db.inbox
svcjobs.db.outbox.InMemoryOutboxStore().enqueue("a", {{}})
from svcjobs.errors import ConfigurationError
try:
    from {module} import {name}
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert f"pip install 'svcjobs[{extra}]'" in done.stdout, done.stderr


async def test_the_guides_relay_over_a_session(engine: Engine) -> None:
    queue = InMemoryJobQueue()
    with Session(engine) as session:
        outbox = OutboxStore(session)
        outbox_tick = make_outbox_tick(
            outbox=outbox, queue=queue, topics=["user.created", "order.completed"], job_name_prefix="outbox"
        )
        outbox.enqueue("user.created", {"user_id": 1})
        session.commit()
        assert await outbox_tick() == 1
        assert await outbox_tick() == 0
    job = queue.reserve_next()
    assert job is not None
    assert job.name == "outbox.user.created"
