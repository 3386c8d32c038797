"""``svcjobs outbox`` on real databases and a real Redis server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker

from svcjobs.cli import main
from svcjobs.db.outbox import OutboxStore
from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.databases import ASYNC_DRIVERS, KINDS, Database, drop_tables
from tests.eventually import eventually
from tests.servers import RedisServer
from tests.unit.test_settings import VARIABLES

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _environment(redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOBS_REDIS_URL", redis_server.url)
    monkeypatch.setenv("JOBS_DRIVER", "redis")
    monkeypatch.setenv("JOBS_PREFIX", prefix)


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["outbox", *arguments], prog_name="svcjobs")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command as a process of its own; what it logs is in ``tmp_path/log<number>``."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        with (tmp_path / f"log{len(processes)}").open("w") as log:
            command = [sys.executable, "-m", "svcjobs", "outbox", *arguments]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def drain(queue: RedisJobQueue) -> list[Job]:
    jobs = queue.reserve_many(1000)
    for job in jobs:
        queue.ack(job)
    return jobs


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_drain_moves_everything_and_ends(engine: Engine, queue: RedisJobQueue) -> None:
    outbox = OutboxStore(sessionmaker(engine))
    for number in range(25):
        outbox.enqueue("ab"[number % 2], {"number": number})
    assert document(run("status", "--database", url_of(engine), "--json"))["pending"] == 25
    shown = run("status", "--database", url_of(engine), "--topics", "a").stdout
    assert re.search(r"^ ?a +13 +0 +\d+", shown, re.MULTILINE), shown
    result = run("relay", "--database", url_of(engine), "--drain", "--batch", "10")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("moved 25 messages in ")
    assert [job.payload["payload"]["number"] for job in drain(queue)] == list(range(25))
    assert run("status", "--database", url_of(engine)).stdout == "nothing is pending\n"
    assert run("purge", "--database", url_of(engine)).stdout == "removed 0 messages\n"
    assert document(run("purge", "--database", url_of(engine), "--keep", "0", "--json")) == {"removed": 25}


def test_once_moves_one_batch_of_what_was_asked_for(make_engine: Callable[[str], Engine], queue: RedisJobQueue) -> None:
    engine = make_engine("sqlite")
    outbox = OutboxStore(sessionmaker(engine))
    for topic in ("a", "b", "a", "a"):
        outbox.enqueue(topic, {})
    command = ("relay", "--database", url_of(engine), "--once", "--batch", "2", "--topics", "a", "--json")
    assert document(run(*command, "--job-name-prefix", "webhook"))["moved"] == 2
    assert {job.name for job in drain(queue)} == {"webhook.a"}
    assert document(run(*command))["moved"] == 1
    assert document(run(*command))["moved"] == 0


def test_the_jobs_go_to_the_queue_that_is_named(
    make_engine: Callable[[str], Engine], queue: RedisJobQueue, prefix: str
) -> None:
    engine = make_engine("sqlite")
    OutboxStore(sessionmaker(engine)).enqueue("a", {})
    assert run("relay", "--database", url_of(engine), "--drain", "-Q", "emails").exit_code == 0
    with closing(queue.sibling(f"{prefix}:{{emails}}")) as emails:
        assert len(drain(emails)) == 1


@pytest.mark.parametrize("kind", ASYNC_DRIVERS)
def test_drivers_for_asyncio_do_as_well(
    kind: str, make_engine: Callable[[str], Engine], database_of: Callable[[str], Database], queue: RedisJobQueue
) -> None:
    outbox = OutboxStore(sessionmaker(make_engine(kind)))
    message = outbox.enqueue("a", {})
    url = database_of(kind).async_url
    assert document(run("status", "--database", url, "--json"))["topics"][0]["pending"] == 1
    assert run("relay", "--database", url, "--drain").stdout.startswith("moved 1 messages")
    assert [job.payload["outbox_id"] for job in drain(queue)] == [message.id]
    assert run("purge", "--database", url, "--keep", "0").stdout == "removed 1 messages\n"


def test_it_runs_until_sigterm_side_by_side_with_others(
    make_engine: Callable[[str], Engine], queue: RedisJobQueue, start: Start, tmp_path: Path
) -> None:
    engine = make_engine("postgresql")
    outbox = OutboxStore(sessionmaker(engine))
    relays = [start("relay", "--database", url_of(engine), "--interval", "0.05", "--batch", "7") for _ in range(2)]
    for number in range(2):
        eventually(lambda log=tmp_path / f"log{number}": ": ready" in log.read_text(), 30)  # type: ignore[misc]
    ids = [outbox.enqueue(f"topic.{number % 5}", {}).id for number in range(100)]
    eventually(lambda: outbox.backlog() == [], 30)
    for relay in relays:
        relay.send_signal(signal.SIGTERM)
    printed = [relay.communicate(timeout=30)[0] for relay in relays]
    assert [relay.returncode for relay in relays] == [0, 0]
    assert sum(int(line.split()[1]) for line in printed) == 100
    assert sorted(job.payload["outbox_id"] for job in drain(queue)) == ids


def test_it_counts_for_prometheus(make_engine: Callable[[str], Engine], start: Start, tmp_path: Path) -> None:
    engine = make_engine("sqlite")
    outbox = OutboxStore(sessionmaker(engine))
    outbox.enqueue("a", {"text": "x" * 2_000_000})
    outbox.enqueue("a", {})
    start("relay", "--database", url_of(engine), "--metrics-port", "0")
    log = tmp_path / "log0"
    address = eventually(lambda: re.search(r"http://\S+/metrics", log.read_text()), 30)[0]

    def metrics() -> str:
        with urllib.request.urlopen(address) as answer:
            return str(answer.read().decode())

    for line in (
        'jobs_outbox_messages_total{outcome="moved"} 1.0',
        'jobs_outbox_messages_total{outcome="refused"} 1.0',
        "jobs_outbox_pending 1.0",
    ):
        eventually(lambda line=line: line in metrics(), 30)  # type: ignore[misc]


def test_what_the_queue_refuses_stays_and_is_told(make_engine: Callable[[str], Engine], queue: RedisJobQueue) -> None:
    engine = make_engine("sqlite")
    outbox = OutboxStore(sessionmaker(engine))
    large, small = outbox.enqueue("a", {"text": "x" * 2_000_000}), outbox.enqueue("a", {})
    result = run("relay", "--database", url_of(engine), "--drain")
    assert result.exit_code == 1
    assert "refused messages" in result.stderr
    assert [job.payload["outbox_id"] for job in drain(queue)] == [small.id]
    assert outbox.backlog()[0].refused == 1
    kept = outbox.get(large.id)
    assert kept is not None
    assert kept.processed_at is None


def test_drain_waits_for_what_a_dead_relay_has_claimed(
    make_engine: Callable[[str], Engine], queue: RedisJobQueue, start: Start, tmp_path: Path
) -> None:
    engine = make_engine("sqlite")
    outbox = OutboxStore(sessionmaker(engine))
    message = outbox.enqueue("a", {})
    assert outbox.fetch_next() == message
    relay = start("relay", "--database", url_of(engine), "--drain", "--interval", "0.05")
    eventually(lambda: ": ready" in (tmp_path / "log0").read_text(), 30)
    with pytest.raises(subprocess.TimeoutExpired):
        relay.wait(0.5)
    outbox.release(message.id)
    assert relay.wait(30) == 0
    assert len(drain(queue)) == 1


def test_while_a_server_is_away_the_relay_waits_and_drain_says_so(
    make_engine: Callable[[str], Engine], own_server: RedisServer, start: Start, tmp_path: Path
) -> None:
    engine = make_engine("sqlite")
    outbox = OutboxStore(sessionmaker(engine))
    own_server.kill()
    outbox.enqueue("a", {})
    where = ("relay", "--database", url_of(engine), "--redis-url", own_server.url)
    assert run(*where, "--drain").exit_code == 69
    start(*where)
    eventually(lambda: "next try in" in (tmp_path / "log0").read_text(), 30)
    own_server.start()
    eventually(lambda: outbox.backlog() == [], 30)


SECRET = "hush-hush"


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        (f"nope://u:{SECRET}@h/d", 78, "the database is nope: use postgresql+psycopg://"),
        (f"postgresql+nope://u:{SECRET}@h/d", 78, "no driver postgresql+nope: use"),
        (f"postgresql+pg8000://u:{SECRET}@h/d", 78, "pg8000, the driver of postgresql+pg8000://, isn't installed"),
        (f"postgres://u:{SECRET}@h:{SECRET}/d", 78, "can't be read: write postgresql+psycopg://"),
        (SECRET, 78, "can't be read"),
        (f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/d", 69, "127.0.0.1:1/d"),
        (f"postgresql+psycopg://127.0.0.1:1/d?password={SECRET}", 69, "127.0.0.1:1/d"),
        (f"mariadb+pymysql://u:{SECRET}@127.0.0.1:1/d", 69, "127.0.0.1:1/d"),
        ("sqlite:////no/such/shop.db", 78, "sqlite:////no/such/shop.db: there is no such file"),
        ("sqlite:///:memory:", 78, "no table svcjobs_outbox"),
        (f"sqlite:///{__file__}", 78, "not a database"),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("purge",), ("relay", "--drain")])
def test_a_database_that_cannot_be_used_is_told_without_secrets(
    command: tuple[str, ...], url: str, code: int, said: str
) -> None:
    result = run(*command, "--database", url)
    assert result.exit_code == code, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("svcjobs:"))
    assert said in line
    assert SECRET not in result.output


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_table_is_told_and_no_database_too(kind: str, make_engine: Callable[[str], Engine]) -> None:
    engine = make_engine(kind)
    drop_tables(engine)
    with engine.begin() as connection:  # so that SQLite has a file
        connection.execute(text("CREATE TABLE other (id INTEGER)"))
    for command in (("status",), ("relay",)):
        result = run(*command, "--database", url_of(engine))
        assert result.exit_code == 78
        assert "create_tables" in result.stderr


def test_no_database_and_two_ends_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "JOBS_DATABASE_URL" in run("relay").stderr
    assert run("relay", "--drain", "--once").exit_code == 2
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    assert "none.db: there is no such file" in run("status").stderr


def test_without_sqlalchemy_the_extra_is_named(tmp_path: Path) -> None:
    program = "import sys; sys.modules['sqlalchemy'] = None; from svcjobs.cli import main; main()"
    command = [sys.executable, "-c", program, "outbox", "status", "--database", f"sqlite:///{tmp_path}/x.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ.copy())
    assert done.returncode == 78
    assert "pip install 'svcjobs[sql]'" in done.stderr
