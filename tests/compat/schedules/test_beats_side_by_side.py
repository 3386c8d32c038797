"""Several ``svcjobs beat -A`` processes, some of which are killed or stopped."""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import redis

from tests.compat.program import SVCJOBS, Program, running
from tests.eventually import eventually
from tests.notes import lines_of
from tests.servers import RedisServer

LEASE_SECONDS = 2.0

APP = """
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.beat.redis_scheduler import RedisScheduler

RedisScheduler.lease_seconds = {lease}
app = Celery("proj", broker="{url}", backend="disabled://")
app.conf.broker_transport_options = {{"prefix": "{prefix}"}}
app.conf.beat_schedule = {{"each second": {{"task": "proj.second", "schedule": 1.0}}}}


take = RedisScheduler._take


def noted(self, entry, tick, sent):
    taken = take(self, entry, tick, sent)
    if taken:
        with open("ticks", "a") as ticks:
            ticks.write(f"{{entry.name}}:{{tick.timestamp():.3f}}\\n")
    return taken


RedisScheduler._take = noted


@app.on_after_configure.connect
def more(sender, **kwargs):
    sender.add_periodic_task(0.5, sender.signature("proj.half"), name="each half")
"""


@pytest.fixture
def project(folder: Path, redis_server: RedisServer, prefix: str) -> Path:
    url = redis_server.url.replace("redis://", "svcjobs://")
    (folder / "proj.py").write_text(APP.format(url=url, prefix=prefix, lease=LEASE_SECONDS))
    return folder


@contextlib.contextmanager
def beats(folder: Path, number: int) -> Iterator[list[Program]]:
    with contextlib.ExitStack() as stack:
        command = [SVCJOBS, "beat", "-A", "proj:app", "-l", "INFO"]
        yield [stack.enter_context(running(command, folder, {})) for _ in range(number)]


def instants(client: redis.Redis, prefix: str, task: str) -> list[float]:
    """When the jobs of a task were stored."""
    root = f"{prefix}:{{celery}}"
    found = []
    for job_id in client.lrange(f"{root}:ready", 0, -1):
        job = client.hgetall(f"{root}:job:{job_id.decode()}")
        if job[b"name"].decode() == task:
            found.append(datetime.fromisoformat(job[b"available_at"].decode()).timestamp())
    return sorted(found)


def leader(programs: list[Program], lost: list[Program]) -> Program:
    def one() -> Program | None:
        leading = [program for program in programs if program not in lost and "this scheduler leads" in program.output]
        return leading[0] if leading else None

    return eventually(one, timeout=30)


@pytest.mark.alone
@pytest.mark.server
@pytest.mark.scenario(32)
@pytest.mark.promise("P8")
def test_each_tick_is_sent_once_though_leaders_are_killed_and_stopped(
    project: Path, redis_client: redis.Redis, prefix: str
) -> None:
    root = f"{prefix}:{{celery}}"
    with beats(project, 3) as programs:
        killed = leader(programs, [])
        eventually(lambda: len(instants(redis_client, prefix, "proj.second")) >= 2, timeout=20)
        killed.process.kill()
        stopped = leader(programs, [killed])
        eventually(lambda: len(instants(redis_client, prefix, "proj.second")) >= 5, timeout=20)
        stopped.process.send_signal(signal.SIGSTOP)
        leader(programs, [killed, stopped])
        count = len(instants(redis_client, prefix, "proj.second"))
        eventually(lambda: len(instants(redis_client, prefix, "proj.second")) >= count + 2, timeout=20)
        stopped.process.send_signal(signal.SIGCONT)  # it wakes, and thinks that it leads
        eventually(lambda: len(instants(redis_client, prefix, "proj.second")) >= count + 5, timeout=20)
        for program in programs:
            if program is not killed:
                assert program.stop() == 0, program.output
    for task, name, interval in (("proj.second", "each second", 1.0), ("proj.half", "each half", 0.5)):
        stored = instants(redis_client, prefix, task)
        latest = float(redis_client.hget(f"{root}:ticks", name))
        ticks = [line for line in lines_of(project / "ticks") if line.startswith(f"{name}:")]
        assert len(set(ticks)) == len(ticks), "a tick was sent twice"
        assert len(ticks) <= len(stored) <= len(ticks) + 1, "who was killed may have sent one, and not noted it"
        gaps = [later - earlier for earlier, later in itertools.pairwise(stored)]
        assert max(gaps) <= LEASE_SECONDS + 1 + interval
        assert time.time() - latest < 60
