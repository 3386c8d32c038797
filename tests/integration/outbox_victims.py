"""Producers and relays that kill themselves at a chosen step.

Each line of stdin, such as ``relay before-mark 0``, is lived by a forked process; the answer is how that one ended. Of
all programs this imports the least, and imports it once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

import redis
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session, sessionmaker

from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.db.message import OutboxMessage
from svcjobs.db.outbox import OutboxStore
from svcjobs.redis_queue import RedisJobQueue

DATABASE, SERVER, PREFIX = sys.argv[1:] if __name__ == "__main__" else ("", "", "")
ORDERS = 10
FATAL_ORDER = 6
ROLLED_BACK = 3
BATCH = 4
CLAIM_SECONDS = 60


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def produce(step: str, start: int) -> None:
    """Place orders, each with its message; every third is rolled back. The kill is in the sixth."""
    engine = create_engine(DATABASE)
    for number in range(start, start + ORDERS):
        fatal = step if number == start + FATAL_ORDER else ""
        with Session(engine) as session:
            session.execute(text("INSERT INTO orders VALUES (:number)"), {"number": number})
            if fatal == "before-insert":
                die()
            OutboxStore(session).enqueue("order.placed", {"number": number})
            if fatal == "before-commit":
                die()
            if number % ROLLED_BACK == 0:
                session.rollback()
            else:
                session.commit()
            if fatal == "after-commit":
                die()


class Outbox(OutboxStore):
    """Dies around what the relay asks of it, in the relay's second batch."""

    step = ""
    batches = 0

    def fetch_many(self, *args: Any) -> list[OutboxMessage]:
        self.batches += 1
        self.claiming = True
        messages = super().fetch_many(*args)
        self.claiming = False
        self.die_at("before-enqueue")
        return messages

    def mark_processed(self, *message_ids: int) -> None:
        self.die_at("before-mark")
        super().mark_processed(*message_ids)
        self.die_at("after-mark")

    def die_at(self, step: str) -> None:
        if self.step == step and self.batches == 2:
            die()


def relay(step: str, claims_ago: int) -> None:
    """Move what is pending, by a clock that stands so many claims later."""
    engine = create_engine(DATABASE)
    outbox = Outbox(sessionmaker(engine), clock=lambda: time.time() + claims_ago * CLAIM_SECONDS)
    outbox.step = step
    event.listen(
        engine,
        "commit",
        lambda _: outbox.die_at("before-commit-of-claim" if outbox.claiming else "before-commit-of-mark"),
    )
    client = redis.Redis.from_url(SERVER)
    queue = RedisJobQueue(client, prefix=PREFIX)
    tick = make_outbox_tick(outbox, queue, limit=BATCH)
    while asyncio.run(tick()):
        pass
    queue.close()
    client.close()
    engine.dispose()


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        role, step, number = line.split()
        pid = os.fork()
        if not pid:
            {"producer": produce, "relay": relay}[role](step, int(number))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
