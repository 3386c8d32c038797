"""What a chaos run does to its workers, its server and the network between them; each strike ends healed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.chaos.fleet import Fleet, Process
from tests.chaos.history import History
from tests.eventually import eventually
from tests.proxy import RedisProxy
from tests.servers import RedisServer

LEASE_SECONDS = 4.0
GRACE_SECONDS = 5.0


@dataclass(slots=True)
class Stage:
    """Everything that a nemesis can strike.

    Args:
        server: a server of the run's own, each write synced.
        proxy: the way of workers and producers to it.
        fleet: starts workers.
        history: where strikes are written down.
        draw: decides who is struck, and how long.
        options: of each worker.
    """

    server: RedisServer
    proxy: RedisProxy
    fleet: Fleet
    history: History
    draw: random.Random
    options: tuple[str, ...]
    workers: list[Process] = field(default_factory=list)
    beats: list[Process] = field(default_factory=list)

    @property
    def client(self) -> redis.Redis:
        """A direct connection."""
        return self.server.client()

    def pick(self) -> Process:
        """One of the workers."""
        return self.draw.choice(self.workers)

    def pick_child(self) -> tuple[Process, int]:
        """A worker and a process below it; the worker itself where there is none."""
        worker = self.pick()
        place = self.draw.random()
        children = worker.children or [worker.pid]
        return worker, children[int(place * len(children))]

    def add_worker(self, shift_seconds: float = 0.0) -> Process:
        """Start one more."""
        worker = self.fleet.worker(*self.options, shift_seconds=shift_seconds)
        self.workers.append(worker)
        return worker

    def replace_dead(self) -> None:
        """Start a worker for each that is gone."""
        for worker in [worker for worker in self.workers if not worker.alive]:
            worker.signal_all(signal.SIGKILL)
            self.workers.remove(worker)
            self.add_worker()

    def pause(self, shortest: float, longest: float) -> None:
        """Wait for a time of the generator's choice."""
        time.sleep(self.draw.uniform(shortest, longest))

    @contextmanager
    def excused(self, pids: list[int] | None = None) -> Iterator[None]:
        """Leases of these processes (all: None) may run out while this goes on."""
        since = time.monotonic()
        yield
        self.history.write("excuse", since=since, pids=pids)


Nemesis = Callable[[Stage], None]


def kill_child(stage: Stage) -> None:
    """kill -9 of a process below a supervisor: a child or the keeper."""
    worker, pid = stage.pick_child()
    worker.kill(pid)
    stage.pause(0.5, 2)


def kill_supervisor(stage: Stage) -> None:
    """kill -9 of the process that a shell would know."""
    stage.pick().kill()
    stage.pause(0.5, 2)


def kill_everything(stage: Stage) -> None:
    """kill -9 of all processes of all workers."""
    for worker in stage.workers:
        worker.kill_all()
    stage.pause(0.5, 2)


def terminate(stage: Stage) -> None:
    """SIGTERM, as in a rolling deploy."""
    worker = stage.pick()
    # one that is still being started can't stop in an orderly way
    eventually(lambda: ": ready\n" in worker.log or not worker.alive, 60, "the worker has started")
    problem = worker.unclean_stop()
    assert not problem, problem


def renew(stage: Stage) -> None:
    """SIGHUP: the program is executed anew, and its children are replaced one by one."""
    stage.pick().signal(signal.SIGHUP)
    stage.pause(2, 4)


def stop_child(stage: Stage) -> None:
    """SIGSTOP of a process past its leases, then SIGCONT."""
    _, pid = stage.pick_child()
    with stage.excused([pid]):
        _stop_and_go(stage, [pid])


def stop_group(stage: Stage) -> None:
    """SIGSTOP of all processes of a worker past their leases, then SIGCONT."""
    worker = stage.pick()
    pids = worker.members
    with stage.excused(pids):
        _stop_and_go(stage, pids)


def _stop_and_go(stage: Stage, pids: list[int]) -> None:
    for pid in pids:
        Process.signal_one(pid, signal.SIGSTOP)
    stage.pause(LEASE_SECONDS + 1, LEASE_SECONDS + 3)
    for pid in reversed(pids):
        Process.signal_one(pid, signal.SIGCONT)
    time.sleep(1)


def kill_connections(stage: Stage) -> None:
    """CLIENT KILL of all, every 2 s."""
    for _ in range(3):
        stage.client.client_kill_filter(_type="normal", skipme=True)
        time.sleep(2)


def pause_clients(stage: Stage) -> None:
    """CLIENT PAUSE: the server takes commands and answers none."""
    with stage.excused():
        seconds = stage.draw.uniform(0.5, 3)
        stage.client.client_pause(int(seconds * 1000))
        time.sleep(seconds)


def kill_server(stage: Stage) -> None:
    """kill -9 of Redis; it comes back soon, or only after the leases have run out."""
    with stage.excused():
        stage.server.kill()
        stage.pause(0.1, LEASE_SECONDS + 1)
        stage.server.start()
        time.sleep(1)


def restart_server(stage: Stage) -> None:
    """An orderly restart."""
    with stage.excused():
        stage.server.restart()
        stage.pause(0.5, 2)


def cut_power(stage: Stage) -> None:
    """The server goes, and with it the end of its log that a disk wouldn't have had yet: up to a second."""
    with stage.excused():
        kept = {path: path.stat().st_size for path in _logs(stage.server.folder)}
        stage.pause(0.2, 0.9)
        stage.server.kill()
        for path, size in kept.items():
            os.truncate(path, size)
        stage.server.start()
        time.sleep(1)


def _logs(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("appendonly.aof*") if path.suffix == ".aof" and ".base." not in path.name]


def delay_replies(stage: Stage) -> None:
    """Every reply comes late."""
    with stage.excused():
        stage.proxy.delay(stage.draw.uniform(20, 300))
        stage.pause(1, 4)
        stage.proxy.pass_through()


def half_open(stage: Stage) -> None:
    """The server's ends of all connections are gone, and nobody is told."""
    with stage.excused():
        stage.proxy.half_open()
        stage.pause(2, 5)


def black_hole(stage: Stage) -> None:
    """Nothing gets through for a while."""
    with stage.excused():
        stage.proxy.black_hole()
        stage.pause(1, LEASE_SECONDS + 1)
        stage.proxy.pass_through()


def swallow_replies(stage: Stage) -> None:
    """Commands are carried out, and their replies lost."""
    for _ in range(20):
        stage.proxy.swallow_reply(stage.draw.randint(1, 5), containing=b"EVALSHA", close=True)
        time.sleep(0.15)


def flush_scripts(stage: Stage) -> None:
    """SCRIPT FLUSH, again and again."""
    for _ in range(5):
        stage.client.script_flush()
        stage.pause(0.1, 0.5)


def wrong_clock(stage: Stage) -> None:
    """A worker whose clock is an hour off, this way or the other."""
    worker = stage.pick()
    worker.kill_all()
    stage.workers.remove(worker)
    stage.add_worker(shift_seconds=stage.draw.choice((-3600.0, 3600.0)))
    stage.pause(2, 4)


ALWAYS: tuple[Nemesis, ...] = (
    kill_child, kill_supervisor, kill_everything, terminate, renew, stop_child, stop_group, kill_connections,
    pause_clients, kill_server, restart_server, delay_replies, half_open, black_hole, swallow_replies, flush_scripts,
    wrong_clock,
)  # fmt: skip
"""Those after which nothing may be missing."""
LOSSY: tuple[Nemesis, ...] = (*[cut_power] * 4, kill_child, kill_connections, swallow_replies, terminate)
"""Those of a run in which the server loses what it acknowledged."""


def order_of(draw: random.Random, nemeses: tuple[Nemesis, ...]) -> Iterator[Nemesis]:
    """All of them in a random order, then again in another: a short run too strikes in many ways."""
    while True:
        yield from draw.sample(nemeses, len(nemeses))


def heal(stage: Stage) -> None:
    """Everything works again."""
    stage.proxy.pass_through()
    if not stage.server.running:
        stage.server.start()
    stage.replace_dead()
    for worker in stage.workers:
        worker.signal_all(signal.SIGCONT)
    eventually(lambda: stage.client.ping())
