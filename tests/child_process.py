"""A worker child in a process of its own, as a program and as what tests hold of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.eventually import eventually
from tests.notes import lines_of

HANDLERS = """
import asyncio, collections, contextvars, ctypes, itertools, os, threading, time
from svcjobs.errors import SoftTimeLimitExceeded
from svcjobs.registry import JobRegistry

registry = JobRegistry()

def note(text):
    with open("notes", "a") as notes:
        notes.write(f"{time.time():.3f} {os.getpid()} {text}\\n")

@registry.handler("noop")
async def noop(job):
    pass

@registry.handler("note")
async def note_it(job):
    note(f"note {job.payload.get('n', job.id)}")

@registry.handler("attempt")
async def attempt(job):
    note(f"attempt {job.attempts} of {job.id}")

@registry.handler("asleep")
async def asleep(job):
    note(f"asleep {job.id} begins")
    try:
        await asyncio.sleep(job.payload["seconds"])
    except asyncio.CancelledError:
        note(f"asleep {job.id} cancelled")
        raise
    except SoftTimeLimitExceeded as limit:
        note(f"asleep {job.id} soft limit")
        if job.payload.get("go_on"):
            return
        raise
    note(f"asleep {job.id} ends")

@registry.handler("held")
async def held(job):
    note(f"held {job.id} begins")
    while not os.path.exists("go_on"):
        await asyncio.sleep(0.01)
    note(f"held {job.id} ends")

@registry.handler("blocking")
def blocking(job):
    note(f"blocking {job.id} begins in {threading.current_thread() is threading.main_thread()}")
    try:
        until = time.monotonic() + job.payload["seconds"]
        while time.monotonic() < until:
            time.sleep(0.01)
    except asyncio.CancelledError:
        note(f"blocking {job.id} cancelled")
        raise
    except SoftTimeLimitExceeded:
        note(f"blocking {job.id} soft limit")
        if job.payload.get("go_on"):
            return
        raise
    note(f"blocking {job.id} ends")

def outlive(job, soft_limit):
    note(f"{job.name} {job.id} soft limit")
    return time.monotonic() + job.payload["seconds"]

@registry.handler("stubborn")
def stubborn(job):
    try:
        time.sleep(0.01)
        while True:
            pass
    except SoftTimeLimitExceeded as limit:
        until = outlive(job, limit)
    while time.monotonic() < until:
        pass

@registry.handler("stubborn_asleep")
async def stubborn_asleep(job):
    try:
        await asyncio.sleep(60)
    except SoftTimeLimitExceeded as limit:
        until = outlive(job, limit)
    while time.monotonic() < until:
        await asyncio.sleep(0.01)

@registry.handler("spin")
def spin(job):
    note(f"spin {job.id} begins")
    while True:
        pass

@registry.handler("hold_gil")
async def hold_gil(job):
    note(f"hold_gil {job.id} begins")
    ctypes.PyDLL(None).usleep(int(job.payload["seconds"] * 1e6))
    note(f"hold_gil {job.id} ends")

@registry.handler("burn")
def burn(job):
    # one call of C code, which neither another thread nor a signal interrupts
    note(f"burn {job.id} begins")
    until = time.monotonic() + job.payload["seconds"]
    collections.deque(itertools.takewhile(until.__gt__, iter(time.monotonic, None)), maxlen=0)
    note(f"burn {job.id} ends")

@registry.handler("block_loop")
async def block_loop(job):
    note(f"block_loop {job.id} begins")
    until = time.monotonic() + job.payload["seconds"]
    while time.monotonic() < until and not os.path.exists("go_on"):
        time.sleep(0.01)
    note(f"block_loop {job.id} ends")

@registry.handler("poison")
def poison(job):
    note(f"poison {job.id} begins")
    os.kill(os.getpid(), 9)

@registry.handler("leak")
def leak(job):
    registry.leaked = [*getattr(registry, "leaked", ()), bytearray(20_000_000)]
    note(f"leak {job.id}")

@registry.on_startup
def begin(): note("startup")

@registry.on_shutdown
def end():
    note("shutdown")
    while os.path.exists("hang"):
        time.sleep(0.1)
"""


def main(options: dict[str, Any]) -> int:
    """Be a child, or a worker.

    ``options``: url, prefixes, lease, timeout, the values of a plan; ``children`` makes a worker.
    """
    import logging

    import redis

    from svcjobs.child import ChildPlan, run_child
    from svcjobs.keeper import Keeper
    from svcjobs.limits import Limits
    from svcjobs.recycling import Recycling
    from svcjobs.redis_queue import RedisJobQueue
    from svcjobs.supervisor import ChildPipes, KeeperPipes, Supervisor
    from svcjobs.targets import resolve_target

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sys.path.insert(0, str(Path.cwd()))
    grace, lease = options.get("grace", 5), options.get("lease", 60)

    def open_queue(prefix: str) -> RedisJobQueue:
        client = redis.Redis.from_url(options["url"])
        timeout = options.get("timeout", 10)
        return RedisJobQueue(client, prefix=prefix, visibility_timeout=lease, timeout_seconds=timeout)

    def child(pipes: ChildPipes | None = None) -> int:
        plan = ChildPlan(
            pool=options["pool"],
            concurrency=options.get("concurrency", 1),
            grace_seconds=grace,
            limits=Limits(**options.get("limits", {})),
            recycling=Recycling(**options.get("recycling", {})),
        )
        return run_child(
            lambda: resolve_target("handlers:registry"),
            lambda _: [first := open_queue(options["prefixes"][0]), *map(first.sibling, options["prefixes"][1:])],
            plan,
            pipes,
        )

    def keep(pipes: KeeperPipes) -> int:
        return Keeper(pipes, open_queue, lease_seconds=lease, grace_seconds=grace).run()

    if "children" not in options:
        return child()
    return Supervisor([child] * options["children"], keep, grace_seconds=grace).run()


class ChildProcess:
    """A running child; what its handlers noted, and its log.

    Args:
        folder: where it runs; children in one folder share their notes.
        options: see :func:`main`.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        (folder / "handlers.py").write_text(HANDLERS)
        self._folder = folder
        self._log = folder / f"log{len(list(folder.iterdir()))}"
        root = Path(__file__).parent.parent
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.child_process", json.dumps(options)],
                cwd=folder, env=os.environ | {"PYTHONPATH": str(root)}, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def notes(self) -> list[tuple[float, int, str]]:
        """Instant, process and text of each."""
        lines = lines_of(self._folder / "notes")
        return [(float(at), int(pid), text) for at, pid, text in (line.split(" ", 2) for line in lines)]

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.notes]

    def noted(self, text: str, times: int = 1, timeout: float = 45) -> float:
        """Wait for a note; returns the instant of the last one."""
        message = f"{text!r} in {self.texts}; {self.log}"
        eventually(lambda: self.texts.count(text) >= times, timeout, message)
        return max(at for at, _, said in self.notes if said == text)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, timeout: float = 45) -> int:
        return self.process.wait(timeout)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
