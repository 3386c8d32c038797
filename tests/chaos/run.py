"""A chaos run: seeded load and seeded strikes, then quiet, then judgement."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.chaos.checker import INVARIANTS, LOSSY_INVARIANTS, Checker, Ending, Finding
from tests.chaos.fleet import Fleet
from tests.chaos.history import History, read
from tests.chaos.load import Load
from tests.chaos.nemeses import ALWAYS, GRACE_SECONDS, LEASE_SECONDS, LOSSY, Stage, heal, order_of
from tests.eventually import eventually
from tests.proxy import RedisProxy
from tests.server_program import ServerProgram
from tests.servers import RedisServer

PREFIX = "chaos"
OPTIONS = ("-c", "4", "--processes", "2")
QUIET_SECONDS = 90.0
"""How long the workers may take over what is left when nothing strikes them any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has shown.

    Args:
        seed: of the run.
        lossy: whether the server lost acknowledged changes.
        strikes: how often each nemesis struck.
        jobs: acknowledged enqueues.
        runs: starts of handlers.
        totals: the queue's counters.
        lost: acknowledged jobs that are gone.
        findings: broken promises.
        folder: the history, kept when something is broken.
    """

    seed: int
    lossy: bool
    strikes: Counter[str]
    jobs: int
    runs: int
    totals: dict[str, int]
    lost: int
    findings: list[Finding]
    folder: Path = field(default_factory=Path)

    def table(self) -> str:
        """For people."""
        broken = Counter(finding.invariant for finding in self.findings)
        lines = [f"seed {self.seed}, server {'loses its log' if self.lossy else 'keeps its word'}"]
        lines.append(f"{self.jobs} jobs acknowledged, {self.runs} runs, {self.lost} lost; {self.totals}")
        lines.append("strikes: " + ", ".join(f"{name} {count}" for name, count in sorted(self.strikes.items())))
        for name, meaning in INVARIANTS.items():
            verdict = f"BROKEN {broken[name]}" if broken[name] else "holds"
            if self.lossy and name not in LOSSY_INVARIANTS:
                verdict = "not asked"
            lines.append(f"  {name:<9} {verdict:<10} {meaning}")
        lines += [f"  {finding.invariant}: {finding.sentence}" for finding in self.findings[:30]]
        return "\n".join(lines)


def run(
    seed: int,
    seconds: float,
    *,
    program: ServerProgram | None = None,
    options: tuple[str, ...] = OPTIONS,
    workers: int = 2,
    lossy: bool = False,
    say: bool = True,
) -> Outcome:
    """Strike for ``seconds``, wait until all jobs are done, judge.

    Args:
        seed: decides the load, the strikes and whom they hit.
        seconds: how long.
        program: the server's.
        options: of each worker.
        workers: how many there are.
        lossy: strike with power cuts that cost the server the end of its log.
        say: print each strike.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"svcjobs-chaos-{seed}-"))
    history = History(folder)
    strikes: Counter[str] = Counter()
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer(program, appendonly=True))
        proxy = stack.enter_context(RedisProxy(server.port))
        fleet = stack.enter_context(Fleet(proxy.url, PREFIX, history, LEASE_SECONDS))
        options = ("--grace", f"{GRACE_SECONDS:g}", "--no-beat", *options)
        stage = Stage(server, proxy, fleet, history, random.Random(f"{seed} strikes"), options)
        for _ in range(workers):
            stage.add_worker()
        for worker in stage.workers:
            worker.is_ready()
        stage.beats += [fleet.beat(), fleet.beat()]
        load = Load(_queue(proxy.url, stack), history, random.Random(f"{seed} load"), LEASE_SECONDS)
        load.start()
        stack.callback(load.stop)
        _strike(stage, seconds, strikes, lossy=lossy, say=say)
        load.stop()
        heal(stage)
        problems = _wait_for_quiet(stage, stack)
        checker = _judge(stage, load, problems, stack, lossy=lossy)
        findings = checker.findings()
        totals = dict(checker.ending.totals)
    runs = sum(len(each) for each in checker.runs.values())
    return Outcome(seed, lossy, strikes, len(checker.stored), runs, totals, len(checker.lost), findings, folder)


def _strike(stage: Stage, seconds: float, strikes: Counter[str], *, lossy: bool, say: bool) -> None:
    began = time.monotonic()
    for nemesis in order_of(stage.draw, LOSSY if lossy else ALWAYS):
        stage.pause(0.5, 2)
        at = time.monotonic() - began
        if at > seconds:
            return
        if say:
            print(f"{at:7.1f} s  {nemesis.__name__}", flush=True)
        stage.history.write("nemesis", name=nemesis.__name__)
        strikes[nemesis.__name__] += 1
        nemesis(stage)
        stage.replace_dead()


def _queue(url: str, stack: ExitStack) -> RedisJobQueue:
    server = RedisJobQueue(_client(url, stack), prefix=PREFIX, visibility_timeout=LEASE_SECONDS)
    stack.callback(server.close)
    return server


def _client(url: str, stack: ExitStack) -> object:
    import redis

    client = redis.Redis.from_url(url)
    stack.callback(client.close)
    return client


def _wait_for_quiet(stage: Stage, stack: ExitStack) -> list[str]:
    """Wait until nothing is left to do, then stop everything."""
    queue = _queue(stage.server.url, stack)
    for beat in stage.beats:
        beat.stop()

    def quiet() -> bool:
        stage.replace_dead()  # poison kills workers that have no supervisor
        stats = queue.stats()
        assert (stats.ready, stats.delayed, stats.in_flight) == (0, 0, 0), str(stats)
        return True

    problems = []
    try:
        eventually(quiet, QUIET_SECONDS)
    except AssertionError as error:
        problems.append(f"jobs are left: {error}")
    problems += filter(None, (process.unclean_stop() for process in stage.workers))
    return problems


def _judge(stage: Stage, load: Load, problems: list[str], stack: ExitStack, *, lossy: bool) -> Checker:
    stage.history.write("over")
    queue = _queue(stage.server.url, stack)
    dead = queue.dead(100_000)
    try:
        check_drained(stage.client, PREFIX, dead={job.id for job in dead})
    except AssertionError as error:
        problems.append(str(error))
    ending = Ending(
        dead={job.id: job.reason or "" for job in dead},
        totals=dict(queue.stats().totals),
        problems=problems,
        failures={job.id: _failures(job) for job in dead},
        expected_dead=load.expected_dead,
    )
    return Checker(read(stage.history.folder), ending, LEASE_SECONDS, lossy=lossy)


def _failures(job: Job) -> list[tuple[int, str]]:
    return [(int(entry["attempt"]), str(entry["error"])) for entry in job.history]
