"""Worker and beat as processes: signals, a server that goes and comes, kills, and what they refuse at start."""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from svcjobs.census import IMPATIENT_AFTER_SECONDS
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.shop_fixtures import Start, queue, start
from tests.ports import free_port
from tests.servers import RedisServer

__all__ = ["queue", "start"]  # fixtures


def test_a_worker_runs_jobs_of_its_queues_and_stops_on_sigterm(
    start: Start, redis_server: RedisServer, redis_client: redis.Redis, queue: RedisJobQueue, prefix: str
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "-Q", f"{prefix},emails")
    worker.says("ready\n")
    queue.enqueue("greet")
    with closing(RedisJobQueue(redis_client, prefix=f"{prefix}:{{emails}}")) as emails:
        emails.enqueue("greet", job_id="mail")
    queue.enqueue("bad", max_attempts=1, job_id="b")
    worker.noted("greet 1")
    worker.noted("greet mail")
    worker.says("Job b (bad) failed, attempt 1 of 1, now in the dead letter queue: RuntimeError: no way")
    queue.enqueue("slow", {"seconds": 0.5}, job_id="s")
    worker.noted("slow s begins")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert worker.notes[0] == "startup"
    assert worker.notes[-2:] == ["slow s ends", "shutdown"]
    stats = queue.stats()
    assert (stats.ready, stats.in_flight, stats.dead) == (0, 0, 1)


def test_a_job_that_outlives_the_grace_is_given_back_uncharged(
    start: Start, redis_server: RedisServer, queue: RedisJobQueue
) -> None:
    queue.enqueue("slow", {"seconds": 600})
    worker = start(redis_server.url, "worker", "-A", "shop:registry", "--grace", "0.2")
    worker.noted("slow 1 begins")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    job = queue.get("1")
    assert job is not None
    assert (queue.stats().ready, job.attempts) == (1, 0)


def test_a_second_signal_ends_the_grace(start: Start, redis_server: RedisServer, queue: RedisJobQueue) -> None:
    queue.enqueue("slow", {"seconds": 600})
    worker = start(redis_server.url, "worker", "-A", "shop", "--grace", "600")
    worker.noted("slow 1 begins")
    worker.signal(signal.SIGINT)
    worker.says("running jobs have 600 s")
    time.sleep(IMPATIENT_AFTER_SECONDS)
    worker.signal(signal.SIGINT)
    assert worker.ends() == 0
    assert queue.stats().ready == 1


@pytest.mark.parametrize("slow", ["click", "tardy"], ids=["of its own", "of the application"])
def test_ctrl_c_during_imports_is_one_line(start: Start, redis_server: RedisServer, tmp_path: Path, slow: str) -> None:
    (tmp_path / f"{slow}.py").write_text("import time\nopen('notes', 'w').write('importing\\n')\ntime.sleep(600)")
    worker = start(redis_server.url, "worker", "-A", "tardy")
    worker.noted("importing")
    worker.signal(signal.SIGINT)
    assert worker.ends() == 130
    assert worker.log == "svcjobs: interrupted\n"


def test_a_killed_workers_job_runs_on_another(
    start: Start, redis_server: RedisServer, queue: RedisJobQueue, tmp_path: Path
) -> None:
    queue.enqueue("held")
    first = start(redis_server.url, "worker", "-A", "shop", "--visibility-timeout", "2")
    first.noted("held 1 begins")
    second = start(redis_server.url, "worker", "-A", "shop", "--visibility-timeout", "2")
    second.says("ready\n")
    first.kill_all()
    second.noted("held 1 begins", times=2)
    (tmp_path / "go").touch()
    second.noted("held 1 ends")
    second.signal(signal.SIGTERM)
    assert second.ends() == 0
    assert queue.get("1") is None


def test_a_worker_waits_for_its_server_and_outlives_its_restart(start: Start, own_server: RedisServer) -> None:
    own_server.kill()
    worker = start(f"redis://:sekret@127.0.0.1:{own_server.port}/0", "worker", "-A", "shop", REDIS_URL=own_server.url)
    worker.says("isn't ready")
    own_server.start()
    worker.says("ready\n")
    own_server.kill()
    worker.says("can't be used, trying again")
    own_server.start()
    done = start(own_server.url, "enqueue", "greet")
    assert done.ends() == 0
    worker.noted("greet 1")
    assert worker.process.poll() is None


def test_passwords_are_not_logged(start: Start) -> None:
    worker = start(f"redis://:sekret@127.0.0.1:{free_port()}/0", "worker", "-A", "shop")
    worker.says("redis://:***@127.0.0.1")
    worker.signal(signal.SIGTERM)
    worker.ends()
    assert "sekret" not in worker.log


def test_an_evicting_server_is_refused_unless_allowed(start: Start, server_program: Any) -> None:
    with RedisServer(server_program, policy="allkeys-lru") as server:
        refused = start(server.url, "worker", "-A", "shop")
        assert refused.ends() == 78
        assert "maxmemory-policy is allkeys-lru" in refused.log
        assert "Traceback" not in refused.log
        allowed = start(server.url, "worker", "-A", "shop", "--allow-eviction")
        allowed.says("ready\n")
        assert "maxmemory-policy is allkeys-lru" in allowed.log
        allowed.signal(signal.SIGTERM)
        assert allowed.ends() == 0


def test_a_start_up_hook_that_raises_ends_the_worker(start: Start, redis_server: RedisServer, tmp_path: Path) -> None:
    sick = "from shop import registry\n@registry.on_startup\ndef fail(): raise OSError('no db')\n"
    (tmp_path / "sick.py").write_text(sick)
    worker = start(redis_server.url, "worker", "-A", "sick")
    assert worker.ends() == 1
    assert "svcjobs: the worker ended: OSError: no db" in worker.log


def test_metrics_are_served(start: Start, redis_server: RedisServer, queue: RedisJobQueue, prefix: str) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "--metrics-port", "0")
    worker.says("metrics at http://localhost:")
    found = re.search(r"localhost:(\d+)/metrics", worker.log)
    assert found is not None
    queue.enqueue("greet")
    worker.noted("greet 1")

    def counted() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/metrics") as answer:
            text = answer.read().decode()
        return (
            'shop_processed_total{job_name="greet",status="success"} 1.0' in text
            and f'jobs_dlq_size{{queue="{prefix}"}} 0.0' in text
        )

    eventually(counted)


def test_beats_share_their_ticks_and_a_worker_runs_the_jobs(
    start: Start, redis_server: RedisServer, queue: RedisJobQueue, prefix: str
) -> None:
    schedule = '[{"name": "hello", "interval_seconds": 1, "job_name": "greet"}]'
    lease = {"JOBS_SCHEDULE_JSON": schedule, "JOBS_SCHEDULER_LEASE_KEY": f"{prefix}:leader"}
    beats = [start(redis_server.url, "beat", **lease) for _ in range(2)]
    eventually(lambda: queue.stats().totals.get("enqueued", 0) >= 3)
    for beat in beats:
        beat.signal(signal.SIGTERM)
        assert beat.ends() == 0
    jobs = queue.reserve_many(100)
    due = [int(job.available_at.timestamp()) for job in jobs]
    assert len(set(due)) == len(due), "a tick was emitted twice"


def test_an_idle_worker_costs_the_server_under_two_commands_a_second(start: Start, own_server: RedisServer) -> None:
    """All that run are counted, those inside scripts too."""
    worker = start(own_server.url, "worker", "-A", "shop")
    worker.says("ready\n")
    client = own_server.client()
    eventually(lambda: client.info("clients")["blocked_clients"] == 1)
    client.config_resetstat()
    began = time.monotonic()
    time.sleep(8)
    stats, seconds = client.info("commandstats").items(), time.monotonic() - began
    counts = {name: stat["calls"] for name, stat in stats if not name.startswith("cmdstat_config")}
    assert counts["cmdstat_blpop"] >= 3
    assert sum(counts.values()) < 2 * seconds, counts


def test_a_worker_with_a_schedule_in_its_environment_runs_it(
    start: Start, redis_server: RedisServer, prefix: str
) -> None:
    schedule = (
        '[{"name": "f", "interval_seconds": 1, "target": "shop:tick"},'
        ' {"name": "j", "interval_seconds": 1, "job_name": "greet"}]'
    )
    lease = {"JOBS_SCHEDULE_JSON": schedule, "JOBS_SCHEDULER_LEASE_KEY": f"{prefix}:leader"}
    worker = start(redis_server.url, "worker", "-A", "shop", **lease)
    worker.noted("tick")
    worker.noted("greet 1")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0


def test_a_worker_on_memory_runs_its_schedule_and_says_what_it_cannot(start: Start) -> None:
    schedule = '[{"name": "j", "interval_seconds": 1, "job_name": "greet"}]'
    worker = start("", "worker", "-A", "shop", JOBS_DRIVER="memory", JOBS_SCHEDULE_JSON=schedule)
    worker.says("the memory driver")
    worker.noted("greet 1")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
