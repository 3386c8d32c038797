"""How many messages a second one relay moves from a database to Redis: ``python -m benchmarks.outbox``."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.orm import sessionmaker

from benchmarks.environment import look_around
from benchmarks.server import chosen_program, start_server
from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.clock import utc
from svcjobs.db.message import encode_message
from svcjobs.db.outbox import OutboxStore
from svcjobs.db.tables import create_tables, outbox
from svcjobs.redis_queue import RedisJobQueue
from tests.databases import KINDS, NoDatabase, new_database

MESSAGES = 50_000
ROUNDS = 3
TOPICS = 10
CHUNK = 5000
PAYLOAD = {"user_id": 456, "email": "user@example.com", "plan": "team", "seats": 12}
NOTE = "x" * 100


def main() -> None:
    """Measure what was asked for, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="database",
                        help=f"{', '.join(KINDS)}; all of them when none is named")  # fmt: skip
    parser.add_argument("--messages", type=int, default=MESSAGES, help=f"in each round ({MESSAGES})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"for each database, on empty tables ({ROUNDS})")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such database: {', '.join(unknown)}")
    console, around = Console(highlight=False), look_around(chosen_program())
    table = Table("database", "median, messages/s", "lowest", "highest")
    for kind in options.kinds:
        try:
            rates = [rate(kind, options.messages) for _ in range(options.rounds)]
        except NoDatabase as error:
            console.print(f"{kind} is left out: {error}")
            continue
        table.add_row(kind, *(f"{value:,.0f}" for value in (statistics.median(rates), min(rates), max(rates))))
    console.print(f"{options.messages:,} messages a round, {TOPICS} topics, one relay")
    console.print(table)
    for line in around.lines():
        console.print(line)


def rate(kind: str, messages: int) -> float:
    """Messages a second, from a full table to the last mark."""
    with filled_table(kind, messages) as engine, start_server(chosen_program()) as server:
        client = redis.Redis.from_url(server.url)
        queue = RedisJobQueue(client, prefix="bench")
        tick = make_outbox_tick(OutboxStore(sessionmaker(engine)), queue, limit=messages)
        began = time.perf_counter()
        moved = asyncio.run(tick())
        seconds = time.perf_counter() - began
        ready = queue.stats().ready
        queue.close()
        client.close()
    if not moved == ready == messages:
        raise SystemExit(f"{kind}: {messages} messages, {moved} moved, {ready} jobs are ready")
    return messages / seconds


@contextmanager
def filled_table(kind: str, messages: int) -> Iterator[Engine]:
    """A database of its own with so many pending messages."""
    with tempfile.TemporaryDirectory() as folder, new_database(kind, Path(folder)) as database:
        engine = create_engine(database.url)
        try:
            create_tables(engine)
            fill(engine, messages)
            yield engine
        finally:
            engine.dispose()


def fill(engine: Engine, messages: int, note: str = NOTE) -> None:
    """Put pending messages into the table, a chunk a transaction."""
    payload, now = encode_message("topic", PAYLOAD | {"note": note}), utc(time.time())
    row = {"payload": payload, "created_at": now, "available_at": now, "attempts": 0}
    for start in range(0, messages, CHUNK):
        rows = [row | {"topic": f"topic.{number % TOPICS}"} for number in range(start, min(start + CHUNK, messages))]
        with engine.begin() as connection:
            connection.execute(insert(outbox), rows)


if __name__ == "__main__":
    main()
