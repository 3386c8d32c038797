"""``svcjobs worker`` with its real children: pools, limits, recycling, signals, probes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import redis

from svcjobs.census import IMPATIENT_AFTER_SECONDS
from svcjobs.process import process_state
from svcjobs.redis_queue import RedisJobQueue
from tests.compat.program import SVCJOBS, Program, run
from tests.eventually import eventually
from tests.notes import lines_of
from tests.ports import free_port
from tests.servers import RedisServer

APP = """
import asyncio, os, time
from svcjobs.registry import JobRegistry

registry = JobRegistry(metric_prefix="shop")

def note(*words):
    with open("notes", "a") as notes:
        notes.write(" ".join(map(str, words)) + "\\n")

@registry.handler("nap")
async def nap(job):
    note("start", job.id, os.getpid(), job.attempts, time.time())
    await asyncio.sleep(job.payload.get("seconds", 0))
    note("done", job.id, os.getpid())

@registry.handler("block")
def block(job):
    note("start", job.id, os.getpid(), job.attempts, time.time())
    time.sleep(job.payload.get("seconds", 0))
    note("done", job.id, os.getpid())

@registry.handler("spin")
def spin(job):
    note("start", job.id, os.getpid(), job.attempts, time.time())
    while True:
        pass

@registry.handler("wedge")
async def wedge(job):
    note("start", job.id, os.getpid(), job.attempts, time.time())
    time.sleep(job.payload["seconds"])

@registry.handler("die")
def die(job):
    note("start", job.id, os.getpid(), job.attempts, time.time())
    os.kill(os.getpid(), 9)
"""


class Worker(Program):
    """A running ``svcjobs worker`` and what its handlers noted."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        self.folder = folder
        super().__init__([SVCJOBS, "worker", "-A", "shop", *options], folder, environment)

    def notes(self, *words: str) -> list[list[str]]:
        """The notes that begin with these words, without them."""
        lines = [line.split() for line in lines_of(self.folder / "notes")]
        return [line[len(words) :] for line in lines if line[: len(words)] == list(words)]

    def noted(self, *words: str, times: int = 1, timeout: float = 45) -> list[list[str]]:
        eventually(lambda: len(self.notes(*words)) >= times, timeout, f"{times} x {words}; {self.output}")
        return self.notes(*words)

    @property
    def processes(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children())

    def children(self) -> list[int]:
        """Its children without its keeper, as it said when they started."""
        return [int(pid) for pid in re.findall(r"child (\d+) started", self.output) if process_state(int(pid))]

    def close(self) -> None:
        if self.process.poll() is None:
            for process in [psutil.Process(self.process.pid), *self.processes]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path, redis_server: RedisServer, prefix: str) -> Iterator[Start]:
    (tmp_path / "shop.py").write_text(APP)
    started: list[Worker] = []
    environment = {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}

    def start(*options: str) -> Worker:
        started.append(Worker(tmp_path, environment, *options))
        started[-1].says("ready\n")
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


@pytest.mark.parametrize("pool", ["async", "threads", "solo", "prefork"])
def test_each_pool_runs_jobs_in_two_processes(start: Start, queue: RedisJobQueue, pool: str) -> None:
    worker = start("-P", pool, *(["-c", "2"] if pool == "prefork" else ["--processes", "2"]))
    assert len(worker.children()) == 2
    for number in range(40):
        queue.enqueue("nap" if number % 2 else "block", {"seconds": 0.05}, job_id=f"j{number}")
    done = worker.noted("done", times=40)
    assert len(done) == 40
    assert len({pid for _, pid in done}) == 2
    assert worker.stop() == 0
    stats = queue.stats()
    assert (stats.ready, stats.in_flight) == (0, 0)


@pytest.mark.alone
@pytest.mark.promise("P3")
def test_the_job_of_a_killed_child_starts_again_at_once(start: Start, queue: RedisJobQueue) -> None:
    worker = start("--processes", "2")
    queue.enqueue("nap", {"seconds": 5}, job_id="a")
    ((child, _, _),) = worker.noted("start", "a")
    killed_at = time.time()
    os.kill(int(child), signal.SIGKILL)
    again = worker.noted("start", "a", times=2)[1]
    assert float(again[2]) - killed_at < 3
    assert again[1] == "2"
    worker.noted("done", "a")
    eventually(lambda: len(worker.children()) == 2)
    assert worker.stop() == 0


@pytest.mark.scenario(9)
def test_poison_is_buried_and_its_neighbours_are_not_charged(start: Start, queue: RedisJobQueue) -> None:
    # a reserve whose answer the dead child didn't live to report is left to its lease
    worker = start("--processes", "2", "-c", "4", "--visibility-timeout", "5")
    queue.enqueue("nap", {"seconds": 4}, job_id="long", max_attempts=3)
    worker.noted("start", "long")
    queue.enqueue("die", job_id="poison", max_attempts=3)
    for number in range(5):
        queue.enqueue("nap", {"seconds": 0.1}, job_id=f"good{number}", max_attempts=3)
    dead = eventually(queue.dead, 60, worker.output)
    assert [(job.id, job.reason) for job in dead] == [("poison", "worker_lost")]
    for job_id in ("long", *(f"good{number}" for number in range(5))):
        worker.noted("done", job_id, timeout=30)
    assert max(int(words[1]) for words in worker.notes("start", "long")) == 1
    assert worker.stop() == 0


@pytest.mark.alone
@pytest.mark.scenario(20)
def test_a_hard_limit_kills_one_job_only(start: Start, queue: RedisJobQueue) -> None:
    worker = start("-P", "prefork", "-c", "2", "--time-limit", "4")
    queue.enqueue("spin", job_id="s", max_attempts=1)
    queue.enqueue("block", {"seconds": 1.5}, job_id="b")
    worker.noted("start", "s")
    (dead,) = eventually(queue.dead, 8, worker.output)
    assert "TimeLimitExceeded" in (dead.last_error or "")
    worker.noted("done", "b")
    assert len(worker.notes("start", "b")) == 1
    eventually(lambda: len(worker.children()) == 2)
    assert worker.stop() == 0


def test_children_are_replaced_after_so_many_jobs(start: Start, queue: RedisJobQueue) -> None:
    worker = start("-P", "prefork", "-c", "1", "--max-jobs-per-child", "5")
    for number in range(20):
        queue.enqueue("block", job_id=f"j{number}")
    done = worker.noted("done", times=20)
    counts = [sum(pid == child for _, pid in done) for child in {pid for _, pid in done}]
    assert counts == [5, 5, 5, 5]
    assert worker.stop() == 0


@pytest.mark.alone
@pytest.mark.scenario(21)
def test_a_stop_lets_a_short_job_end_and_gives_a_long_one_back(start: Start, queue: RedisJobQueue) -> None:
    worker = start("--grace", "3")
    queue.enqueue("nap", {"seconds": 2}, job_id="short")
    queue.enqueue("nap", {"seconds": 60}, job_id="long")
    worker.noted("start", times=2)
    other = start()
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(3)
    released_at = time.time()
    again = other.noted("start", "long", times=2)[1]
    assert float(again[2]) - released_at < 1.5
    assert again[1] == "1"
    assert worker.process.wait(45) == 0
    assert [words[0] for words in worker.notes("done")] == ["short"]


def test_signals_to_the_whole_group_count_once(start: Start, queue: RedisJobQueue) -> None:
    """As systemd stops a service, and Ctrl-C a command: every process gets the signal."""
    worker = start("--grace", "20")
    queue.enqueue("nap", {"seconds": 3}, job_id="a")
    worker.noted("start", "a")
    for process in worker.processes:
        process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two signals at once may be delivered as one
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(45) == 0
    assert len(worker.notes("done", "a")) == 1


def test_a_second_signal_gives_jobs_back_now(start: Start, queue: RedisJobQueue) -> None:
    worker = start("--grace", "600")
    queue.enqueue("nap", {"seconds": 600}, job_id="a")
    worker.noted("start", "a")
    worker.process.send_signal(signal.SIGTERM)
    worker.says("fetching no more")
    time.sleep(IMPATIENT_AFTER_SECONDS)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(45) == 0
    assert (queue.stats().ready, queue.get("a").attempts) == (1, 0)  # type: ignore[union-attr]


def test_sighup_loads_the_application_anew(start: Start, queue: RedisJobQueue) -> None:
    worker = start("--processes", "2")
    old = set(worker.children())
    queue.enqueue("nap", {"seconds": 4}, job_id="long")
    worker.noted("start", "long")
    (worker.folder / "shop.py").write_text(APP.replace('"done"', '"done2"'))
    worker.process.send_signal(signal.SIGHUP)
    fewest = 9

    def is_replaced() -> bool:
        nonlocal fewest
        now = worker.children()
        fewest = min(fewest, len(now))
        return len(now) == 2 and not old & set(now)

    eventually(is_replaced, 30, worker.output)
    assert fewest >= 2
    worker.noted("done", "long")  # by the code that it began with
    queue.enqueue("nap", job_id="new")
    worker.noted("done2", "new")
    assert len(worker.notes("start", "long")) == 1
    assert worker.stop() == 0


def test_probes_metrics_and_the_list_of_workers(
    start: Start, queue: RedisJobQueue, redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    worker = start("--processes", "2", "--health-port", "0", "-n", "one@%h", "-Q", f"{prefix},emails")
    worker.says("probes at")
    port = int(re.search(r"localhost:(\d+)/metrics", worker.output)[1])  # type: ignore[index]

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    eventually(lambda: get("/readyz")[0] == 200)
    for number in range(10):
        queue.enqueue("nap", {"seconds": 0.1}, job_id=f"j{number}")
    eventually(lambda: 'shop_processed_total{job_name="nap",status="success"} 10.0' in get("/metrics")[1])
    text = get("/metrics")[1]
    for name in (prefix, f"{prefix}:{{emails}}"):
        assert f'jobs_queue_depth{{queue="{name}"}} 0.0' in text
        assert f'jobs_reconnects_total{{queue="{name}"}} 0.0' in text
    queue.enqueue("wedge", {"seconds": 40}, job_id="w")
    worker.noted("start", "w")
    wedged_at = time.monotonic()
    eventually(lambda: get("/livez")[0] == 503)
    assert time.monotonic() - wedged_at < 15
    environment = {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}
    (listed,) = json.loads(run([SVCJOBS, "workers", "--json"], worker.folder, environment).stdout)["workers"]
    assert listed["name"].startswith("one@")
    assert (listed["pool"], listed["concurrency"], listed["pid"]) == ("async", 20, worker.process.pid)
    assert [(job["name"], job["job_id"]) for job in listed["running"]] == [("wedge", "w")]
    assert listed["queues"] == [prefix, f"{prefix}:{{emails}}"]


@pytest.mark.scenario(36)
def test_a_worker_that_waits_for_its_server_lives(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    port = free_port()
    environment = {"JOBS_DRIVER": "redis", "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    worker = Worker(tmp_path, environment, "--health-port", str(port))
    try:
        worker.says("isn't ready")
        worker.says("probes at")
        until = time.monotonic() + 12
        while time.monotonic() < until:
            with urllib.request.urlopen(f"http://localhost:{port}/livez") as answer:
                assert answer.status == 200
            time.sleep(0.5)
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(f"http://localhost:{port}/readyz")
        refused.value.close()
    finally:
        worker.close()


def test_the_schedule_is_served_beside_the_jobs_and_its_ticks_are_measured(
    start: Start, queue: RedisJobQueue, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = [{"name": "naps", "interval_seconds": 1, "job_name": "nap"}]
    monkeypatch.setenv("JOBS_SCHEDULE_JSON", json.dumps(schedule))
    monkeypatch.setenv("JOBS_SCHEDULER_LEASE_KEY", f"{prefix}:leader")
    worker = start("--metrics-port", "0", "--processes", "2")
    worker.noted("done", times=2)
    worker.says("probes at")
    port = int(re.search(r"localhost:(\d+)/metrics", worker.output)[1])  # type: ignore[index]

    def age() -> str | None:
        with urllib.request.urlopen(f"http://localhost:{port}/metrics") as answer:
            text = answer.read().decode()
        sample = f'jobs_scheduler_last_tick_age_seconds{{queue="{prefix}",schedule="naps"}} '
        return next((line for line in text.splitlines() if line.startswith(sample)), None)

    eventually(age)
    assert worker.stop() == 0
    assert not queue.stats().in_flight


def test_an_idle_worker_sends_under_two_commands_a_second(tmp_path: Path, own_server: RedisServer) -> None:
    (tmp_path / "shop.py").write_text(APP)
    worker = Worker(tmp_path, {"JOBS_DRIVER": "redis", "REDIS_URL": own_server.url})
    try:
        worker.says("ready\n")
        with closing(own_server.client()) as client:
            time.sleep(2)
            before, began = _calls(client), time.monotonic()
            time.sleep(10)
            assert _calls(client) - before < 2 * (time.monotonic() - began)
    finally:
        worker.close()


def _calls(client: redis.Redis) -> int:
    """Commands that clients sent; not those that scripts call."""
    stats = client.info("commandstats")
    return sum(stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_blpop", "cmdstat_eval") if name in stats)
