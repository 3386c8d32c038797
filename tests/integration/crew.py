"""A worker for the tests of supervisor and keeper: real processes, and children that do the least a child must do.

``python -m tests.integration.crew FOLDER URL PREFIX CHILDREN LEASE GRACE [PORT]``: the folder gets a line per event.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from svcjobs.census import Size
from svcjobs.errors import JobsError
from svcjobs.health import Health
from svcjobs.heartbeats import Heartbeats, LiveWorker
from svcjobs.job import Job
from svcjobs.keeper import Duty, Keeper
from svcjobs.metrics import Metrics
from svcjobs.place import Crew
from svcjobs.pulse import Pulse
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.reports import HeldJob, LostLeases, Report, send
from svcjobs.supervisor import ChildPipes, KeeperPipes, Supervisor

FOLDER, URL, PREFIX = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
CHILDREN, LEASE, GRACE = int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
PORTS = [int(port) for port in sys.argv[7:]]
MOST_CHILDREN = 5


def note(*words: object) -> None:
    line = " ".join(map(str, words)) + "\n"
    descriptor = os.open(FOLDER / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


class Child:
    """Takes one job at a time and runs it in the main thread; a thread reports."""

    def __init__(self, pipes: ChildPipes) -> None:
        self.pipes = pipes
        self.queue = RedisJobQueue(redis.Redis.from_url(URL), prefix=PREFIX, visibility_timeout=LEASE)
        self.metrics = Metrics()
        self.jobs: list[tuple[Job, float | None]] = []
        self.loop_at: float | None = None
        self.stopping = False
        self.silent = False

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGHUP, self.stop)
        note("born", os.getpid())  # from now on it may be told to stop
        if (FOLDER / "broken").exists():
            return 3
        if os.environ.get("GARBAGE"):
            self.send_garbage()
        threading.Thread(target=self.report_again_and_again, daemon=True).start()
        while not self.stopping:
            with suppress(JobsError):
                batch = self.queue.reserve_many(int(os.environ.get("BATCH", "1")))
                for job in batch:
                    self.jobs.append((job, None))
                self.report()
                while self.jobs:
                    self.run_first()
                self.queue.wait(0.2)
        note("ended", os.getpid())
        return 0

    def send_garbage(self) -> None:
        for datagram in (b"", b"x", b"[]", b"{}", b'{"tally": [1]}', b"[1, 2, 3, 4, 5, 6]", b"\xff" * 1000, b"null"):
            self.pipes.reports.send(datagram)
        note("garbage")

    def stop(self, *_: object) -> None:
        note("asked", os.getpid())
        self.stopping = True

    def run_first(self) -> None:
        job, _ = self.jobs[0]
        running = int(os.environ.get("RUNNING", "1"))
        self.jobs[:running] = [(held, time.time()) for held, _ in self.jobs[:running]]
        self.report()
        note("start", job.id, os.getpid(), job.attempts, time.time())
        if job.verdict:
            self.queue.bury(job, reason=job.verdict)
        else:
            HANDLERS[job.name](self, job)
            with suppress(JobsError):
                self.queue.ack(job)
                note("done", job.id, os.getpid(), time.time())
        self.metrics.observe(job.name, 0.01, None)
        self.jobs.pop(0)
        self.report()

    def report_again_and_again(self) -> None:
        while True:
            if not self.silent:
                self.report()
                for tally in self.metrics.tallies(os.getpid()):
                    send(self.pipes.reports, tally.encode())
            with suppress(BlockingIOError):
                note("lost", *[lease[1] for lease in LostLeases.decode(self.pipes.lost.recv(1 << 16)).leases])
            time.sleep(0.2)

    def report(self) -> None:
        held = [HeldJob(PREFIX, job.id, job.lease or "", job.name, job.attempts, at) for job, at in self.jobs]
        send(self.pipes.reports, Report(os.getpid(), held, not self.stopping, self.loop_at, {}, [PREFIX]).encode())


def sleep(child: Child, job: Job) -> None:
    time.sleep(job.payload["seconds"])


def held(child: Child, job: Job) -> None:
    """Until the test lets it end."""
    while not (FOLDER / "go").exists():
        time.sleep(0.01)


def die(child: Child, job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_told(child: Child, job: Job) -> None:
    """Reports before its death, as each child does when a job starts."""
    while not (FOLDER / "die").exists():
        time.sleep(0.01)
    (FOLDER / "die").unlink()
    child.report()
    die(child, job)


def resize(child: Child, job: Job) -> None:
    send(child.pipes.supervisor, Size(job.payload["children"]).encode())


def hold_the_gil(child: Child, job: Job) -> None:
    """One call into C that lets no other thread run: the digest of little data with many rounds keeps the GIL."""
    end = time.monotonic() + job.payload["seconds"]
    sys.setswitchinterval(60)
    while time.monotonic() < end:
        hashlib.sha256(b"x" * 100).digest()
    sys.setswitchinterval(0.005)


def be_silent(child: Child, job: Job) -> None:
    """As a child whose I/O thread hangs."""
    child.silent = True
    time.sleep(job.payload["seconds"])
    child.silent = False


def wedge(child: Child, job: Job) -> None:
    """As a child whose event loop has turned for the last time some while ago."""
    child.loop_at = time.monotonic() - 9
    time.sleep(job.payload["seconds"])
    child.loop_at = None


HANDLERS: dict[str, Any] = {
    "sleep": sleep, "held": held, "die": die, "die_when_told": die_when_told, "gil": hold_the_gil, "silent": be_silent,
    "wedge": wedge, "resize": resize,
}  # fmt: skip


def keep(pipes: KeeperPipes) -> int:
    note("keeper", os.getpid())
    time.sleep(float(os.environ.get("LATE", "0")))
    client = redis.Redis.from_url(URL)
    worker = LiveWorker(f"crew@{PREFIX}", "here", os.getppid(), "test", CHILDREN, datetime.now(UTC))
    health = Health(PORTS)

    def open_queue(prefix: str) -> RedisJobQueue:
        queue = RedisJobQueue(client, prefix=prefix, visibility_timeout=LEASE)
        health.watch_queue(queue)
        return queue

    duties: list[Duty] = [Pulse(Heartbeats(client, prefix=PREFIX), worker), health]
    return Keeper(pipes, open_queue, lease_seconds=LEASE, grace_seconds=GRACE, duties=duties).run()


def forks_while_it_may() -> None:
    """As in a container that may have no process more, as long as there is a file ``full``."""
    system_fork = os.fork

    def fork() -> int:
        if (FOLDER / "full").exists():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return system_fork()

    os.fork = fork


def main() -> None:
    logging.basicConfig(level="INFO", format="%(process)d %(name)s %(message)s")
    note("supervisor", os.getpid())
    forks_while_it_may()
    sys.executable = os.environ.get("EXECUTABLE", sys.executable)
    crew = Crew([lambda pipes: Child(pipes).run()] * MOST_CHILDREN, CHILDREN)
    supervisor = Supervisor([], keep, grace_seconds=GRACE, crew=crew)
    sys.exit(supervisor.run())


if __name__ == "__main__":
    main()
