"""Processes that are killed in the middle of what they do to a queue."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Literal

import redis

from svcjobs._redis.calls import Call
from svcjobs._redis.link import Link
from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack, Bury, Fail, Release, Settlement

Moment = Literal["before it is sent", "when it is sent", "when it is answered"]
MOMENTS: tuple[Moment, ...] = ("before it is sent", "when it is sent", "when it is answered")
NAME = "victim"

# forks from a process without threads, fast because the modules are loaded there already
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.chaos.victim"])


class DeadlyLink(Link):
    """Kills its process at a moment of the first call of one script."""

    script = ""
    moment: Moment = "before it is sent"

    def _send(self, call: Call[Any]) -> Any:
        if call.script.name == self.script:
            self._die_in(call)
        return super()._send(call)

    def _die_in(self, call: Call[Any]) -> None:
        if self.moment == "when it is sent":
            connection = self._source.connection_pool.get_connection()
            connection.send_command("EVAL", call.script.source, len(call.keys), *call.keys, *call.args)
        elif self.moment == "when it is answered":
            super()._send(call)
        os.kill(os.getpid(), signal.SIGKILL)


def die_in(url: str, prefix: str, script: str, moment: Moment, act: Callable[[RedisJobQueue], object]) -> None:
    """Do ``act`` in a process that is killed at ``moment`` of the first call of ``script``; returns when it is dead."""
    process = PROCESSES.Process(target=_doomed, args=(url, prefix, script, moment, act), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"the victim ended with {process.exitcode}"


def _doomed(url: str, prefix: str, script: str, moment: Moment, act: Callable[[RedisJobQueue], object]) -> None:
    client = redis.Redis.from_url(url, client_name=NAME)
    queue = RedisJobQueue(client, prefix=prefix, visibility_timeout=0.2)
    link = DeadlyLink(client)
    link.script, link.moment = script, moment
    queue._link = link
    act(queue)
    os._exit(3)


def rage(url: str, prefix: str, seed: int, diary: Connection) -> None:
    """Do things to a queue at random until killed; write down each before and after: (what, id)."""
    draw = random.Random(seed)
    queue = RedisJobQueue(redis.Redis.from_url(url, client_name=NAME), prefix=prefix, visibility_timeout=0.05)
    held: list[Any] = []
    number = 0
    while True:
        step = draw.choice(("enqueue", "enqueue", "reserve", "reserve", "ack", "fail", "bury", "release", "sweep"))
        if step == "enqueue":
            number += 1
            new = [
                NewJob("work", job_id=f"{seed}-{number}-{n}", delay_seconds=draw.choice((0, 0, 0.02)), priority=n,
                       backoff_seconds=0.01, max_attempts=50)
                for n in range(draw.choice((1, 1, 5)))
            ]  # fmt: skip
            diary.send(("asked", [job.job_id for job in new]))
            diary.send(("stored", [job.id for job in queue.enqueue_many(new)]))
        elif step == "reserve":
            held += queue.reserve_many(draw.choice((1, 3)))
        elif step == "sweep":
            draw.choice((queue.promote, queue.reclaim))()
        elif held:
            settle(queue, step, held.pop(draw.randrange(len(held))), diary)


def settle(queue: RedisJobQueue, step: str, job: Any, diary: Connection) -> None:
    """Settle a job, whose lease may be lost by now."""
    if step == "ack":
        diary.send(("acking", [job.id]))
    settlements: dict[str, Settlement] = {
        "ack": Ack(job),
        "fail": Fail(job, "oops"),
        "bury": Bury(job, "rejected"),
        "release": Release(job),
    }
    queue.settle_many([settlements[step]])
