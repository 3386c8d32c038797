"""A long backlog is moved in the memory of a short one. ``SVCJOBS_FULL=1`` makes it a million messages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from benchmarks.outbox import fill
from svcjobs.db.outbox import OutboxStore
from svcjobs.redis_queue import RedisJobQueue
from tests.databases import KINDS
from tests.server_program import ServerProgram
from tests.servers import RedisServer

FULL = bool(os.environ.get("SVCJOBS_FULL"))
SHORT = 2_000
LONG = 1_000_000 if FULL else 20_000
MOST_GROWTH_KIB = 12 << 10
"""20,000 messages take more than 40 MiB, a million more than 2 GiB."""

# the command, which tells its peak memory at the end
RELAY = """
import atexit, sys
from pathlib import Path
atexit.register(lambda: sys.stderr.write(Path("/proc/self/status").read_text()))
from svcjobs.cli import main
main()
"""


@pytest.fixture
def server(server_program: ServerProgram) -> Iterator[RedisServer]:
    """A server of its own, as a million jobs would slow down the tests that share one."""
    with RedisServer(server_program) as server:
        yield server


def drain(engine: Engine, server: RedisServer, prefix: str) -> int:
    """Relay all that is pending; returns the peak memory of that, in KiB."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", RELAY, "outbox", "relay", "--drain", "--database", url, "--redis-url", server.url]
    environment = {**os.environ, "JOBS_PREFIX": prefix}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    found = re.search(r"^VmHWM:\s*(\d+) kB", done.stderr, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory in /proc")
@pytest.mark.timeout(3600 if FULL else 120)
@pytest.mark.parametrize("kind", KINDS if FULL else ["postgresql"])
def test_memory_does_not_grow_with_the_backlog(
    kind: str, make_engine: Callable[[str], Engine], server: RedisServer, prefix: str
) -> None:
    engine = make_engine(kind)
    fill(engine, SHORT, note="x" * 1000)
    short = drain(engine, server, prefix)
    fill(engine, LONG, note="x" * 1000)
    long = drain(engine, server, prefix)
    print(f"{kind}: peak of {SHORT:,} messages {short:,} KiB, of {LONG:,} {long:,} KiB")
    assert long < short + MOST_GROWTH_KIB
    assert OutboxStore(sessionmaker(engine)).backlog() == []
    client = redis.Redis.from_url(server.url)
    with closing(RedisJobQueue(client, prefix=prefix)) as queue:
        assert queue.stats().ready == SHORT + LONG
    client.close()
