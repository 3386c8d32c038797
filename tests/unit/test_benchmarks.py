"""The frame of the benchmarks: readings that count only what they should, the gate, and what is written."""

from __future__ import annotations

import dataclasses
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import redis
from rich.console import Console

from benchmarks import gate
from benchmarks.baseline import Baseline, exact_counts, server_key
from benchmarks.contender import CONTENDERS, open_contender
from benchmarks.contenders import WORKED
from benchmarks.contest import LABELS, LOSES, marked, ratios
from benchmarks.environment import Environment
from benchmarks.growth import CURVES
from benchmarks.home import python_of
from benchmarks.life import Ground
from benchmarks.measure import Sample
from benchmarks.race import RACES, Size, run_race
from benchmarks.report import CALLS
from benchmarks.server import ServerMeter
from benchmarks.session import Results, Spread, summarise
from benchmarks.stand import Stalled, open_stand
from benchmarks.wire import watched_wire
from benchmarks.workload import WORKLOADS
from svcjobs.redis_queue import RedisJobQueue
from tests.server_program import ServerProgram
from tests.servers import RedisServer

NATIVE = ("svcjobs worker", "svcjobs threads", "svcjobs async")
ENVIRONMENT = Environment(
    measured_at="today", server="Redis 7.0.15 (system)", python="3.11", packages={"svcjobs": "0.1.0"}, cpu="a CPU",
    cores=2, memory_gib=4.0, system="Linux", load=0.0,
)  # fmt: skip


def counts(commands: float = 18.0, memory: float = 270.0) -> dict[str, dict[str, dict[str, float]]]:
    return {"svcjobs": {"enqueue": {"commands": commands}, "queued": {"memory": memory}}}


def results(rate: float = 1000.0) -> Results:
    return summarise(
        [("svcjobs", {"enqueue": {"rate": rate * factor, "commands": 18.0}}) for factor in (1, 3, 2)]
        + [("Redis floor", {"enqueue": {"rate": 5000.0, "commands": 3.0}})]
    )


def write_baseline(path: Path, server: str = "redis-7") -> Baseline:
    Baseline(path).write(server, counts())
    return Baseline(path)


def test_the_gate_names_each_count_that_got_worse_by_more_than_5_percent(tmp_path: Path) -> None:
    baseline = write_baseline(tmp_path / "baseline.json")
    (worse,) = baseline.differences("redis-7", counts(commands=19.0))
    assert worse.is_worse
    assert "enqueue, one by one: commands run 18.000 -> 19.000 per job (+5.6%)" in str(worse)
    assert baseline.differences("redis-7", counts(commands=18.8)) == []
    (better,) = baseline.differences("redis-7", counts(commands=12.0))
    assert not better.is_worse


def test_a_count_that_vanished_is_worse(tmp_path: Path) -> None:
    baseline = write_baseline(tmp_path / "baseline.json")
    now = counts()
    del now["svcjobs"]["queued"]
    (gone,) = baseline.differences("redis-7", now)
    assert gone.is_worse
    assert "isn't measured any more" in str(gone)


def test_memory_is_compared_with_the_same_kind_of_server_only(tmp_path: Path) -> None:
    baseline = write_baseline(tmp_path / "baseline.json")
    assert len(baseline.differences("redis-7", counts(memory=400))) == 1
    assert baseline.differences("valkey-8", counts(memory=400)) == []
    assert len(baseline.differences("valkey-8", counts(commands=30, memory=400))) == 1


def test_a_baseline_keeps_the_counts_of_other_servers(tmp_path: Path) -> None:
    write_baseline(tmp_path / "baseline.json")
    baseline = write_baseline(tmp_path / "baseline.json", "redis-6")
    assert baseline.knows("redis-7")
    assert baseline.knows("redis-6")


def test_without_a_baseline_the_gate_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="--write-baseline"):
        Baseline(tmp_path / "none.json").differences("redis-7", counts())


@pytest.mark.parametrize(("commands", "exit_code"), [(18.5, 0), (19.0, 1), (9.0, 0)])
def test_the_gate_fails_when_a_count_got_worse(
    commands: float, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_baseline(tmp_path / "baseline.json")
    monkeypatch.setattr(gate, "Baseline", lambda: Baseline(tmp_path / "baseline.json"))
    monkeypatch.setattr(gate, "chosen_program", lambda: ServerProgram(Path("redis-server"), "system", "Redis 7.0.15"))
    monkeypatch.setattr(gate, "measure_exact", lambda *_: summarise([*counts(commands).items()]))
    assert gate.check_counts(Console(width=200)) == exit_code
    printed = capsys.readouterr().out
    assert ("worse: svcjobs, enqueue, one by one: commands run" in printed) == (exit_code == 1)
    assert ("better: svcjobs" in printed) == (commands == 9.0)


def test_a_busy_machine_is_told_with_the_results() -> None:
    assert "busy" not in " ".join(ENVIRONMENT.lines())
    assert "busy" in " ".join(dataclasses.replace(ENVIRONMENT, load=2.0).lines())


def test_the_committed_baseline_has_counts_of_every_gated_workload() -> None:
    servers = json.loads(Path("benchmarks/baseline.json").read_text())["servers"]
    for measured in servers.values():
        for workloads in measured.values():
            assert set(workloads) == {*WORKLOADS, "queued"}


def test_servers_are_told_apart_by_name_and_major_version() -> None:
    assert server_key("Redis 7.0.15") == "redis-7"
    assert server_key("Valkey 8.1.1") == "valkey-8"


def test_the_median_and_range_of_the_rounds_are_kept() -> None:
    rate = results()["svcjobs"]["enqueue"]["rate"]
    assert (rate.low, rate.median, rate.high) == (1000.0, 2000.0, 3000.0)
    assert rate == Spread((1000.0, 3000.0, 2000.0))


def test_rates_are_no_part_of_the_baseline() -> None:
    assert exact_counts(results()) == {
        "svcjobs": {"enqueue": {"commands": 18.0}},
        "Redis floor": {"enqueue": {"commands": 3.0}},
    }


def test_a_report_holds_values_versions_machine_and_the_command(tmp_path: Path) -> None:
    CALLS.write(tmp_path, results(), ENVIRONMENT, "python -m benchmarks --short")
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["command"] == "python -m benchmarks --short"
    assert written["environment"]["server"] == "Redis 7.0.15 (system)"
    assert written["results"]["svcjobs"]["enqueue"]["rate"]["rounds"] == [1000.0, 3000.0, 2000.0]
    text = (tmp_path / "results.md").read_text()
    assert "| svcjobs | 2,000 (1,000 to 3,000) | 18.00 |" in text
    assert "a CPU, 2 cores" in text


def test_the_plot_is_well_formed_and_its_bars_are_to_scale(tmp_path: Path) -> None:
    CALLS.write(tmp_path, results(), ENVIRONMENT, "python -m benchmarks")
    space = "{http://www.w3.org/2000/svg}"
    plot = ElementTree.parse(tmp_path / "rates.svg").getroot()
    ours, floor = (float(bar.attrib["width"]) for bar in plot.iter(f"{space}rect"))
    assert floor == pytest.approx(ours * 5000 / 2000, rel=0.01)
    assert {"2,000", "5,000", "svcjobs", "Redis floor"} <= {text.text for text in plot.iter(f"{space}text")}


def test_a_reading_leaves_itself_out(own_server: RedisServer) -> None:
    with ServerMeter(own_server.url) as meter:
        change = meter.since(meter.read())
    assert (change.commands, change.bytes_in, change.bytes_out) == (0, 0, 0)


def test_a_reading_counts_the_commands_and_bytes_of_others(own_server: RedisServer) -> None:
    client = own_server.client()
    client.ping()
    with ServerMeter(own_server.url) as meter:
        before = meter.read()
        client.eval("redis.call('SET', 'a', 1) return redis.call('GET', 'a')", 0)
        client.ping()
        change = meter.since(before)
    assert change.commands == 4  # EVAL, SET and GET inside it, PING
    assert change.bytes_out == len(b"$1\r\n1\r\n+PONG\r\n")


async def test_the_wire_counts_round_trips_and_commands_of_sync_and_asyncio_clients(own_server: RedisServer) -> None:
    with watched_wire() as wire:
        client = own_server.client()
        client.ping()
        before = (wire.round_trips, wire.commands)
        client.ping()
        pipeline = client.pipeline(transaction=False)
        for _ in range(3):
            pipeline.ping()
        pipeline.execute()
        assert (wire.round_trips - before[0], wire.commands - before[1]) == (2, 4)
        other = redis.asyncio.Redis.from_url(own_server.url)
        await other.ping()
        before = (wire.round_trips, wire.commands)
        await other.ping()
        other_pipeline = other.pipeline(transaction=False)
        for _ in range(2):
            other_pipeline.ping()
        await other_pipeline.execute()
        assert (wire.round_trips - before[0], wire.commands - before[1]) == (2, 3)
        await other.aclose()
    before = (wire.round_trips, wire.commands)
    client.ping()
    assert (wire.round_trips, wire.commands) == before


def kept(jobs: float) -> Sample:
    return {"kill": {"kept": jobs}}


def test_a_contender_that_lost_jobs_is_marked_and_its_rate_is_no_measure_for_ours() -> None:
    samples: list[tuple[str, Sample]] = [("svcjobs worker", kept(20)), ("Huey", kept(19)), ("RQ", kept(20))]
    rates = {"svcjobs worker": 20_000.0, "Huey": 9000.0, "RQ": 1000.0}
    samples += [(name, {"drain_1": {"rate": rate}}) for name, rate in rates.items()]
    contested = marked(summarise(samples), ["svcjobs worker", "RQ", "Huey", "arq"])
    assert list(contested) == ["svcjobs worker", "RQ", f"Huey{LOSES}"]
    assert list(ratios(contested)) == [f"{LABELS['drain_1']}: svcjobs worker does 20.0 times what RQ does"]


def test_the_facade_is_measured_against_celery_too_and_never_against_celery_on_our_queues() -> None:
    rates = {"svcjobs facade": 8000.0, "Celery on svcjobs": 5000.0, "Celery on redis": 800.0, "Dramatiq": 2000.0}
    raced = summarise([(name, {"drain_1": {"rate": rate}}) for name, rate in rates.items()])
    assert list(ratios(raced)) == [
        f"{LABELS['drain_1']}: svcjobs facade does 4.0 times what Dramatiq does",
        f"{LABELS['drain_1']}: svcjobs facade does 10.0 times what Celery on redis does",
    ]


def test_every_contender_that_is_not_at_home_here_says_what_to_install() -> None:
    ours = {name for name, entry in WORKED.items() if entry.requirement is None}
    assert ours == {*NATIVE, "svcjobs facade", "Celery on svcjobs", "Celery on redis"}
    assert {python_of(name) for name in ours} == {Path(sys.executable)}


def test_contenders_that_differ_in_their_workers_only_store_jobs_once() -> None:
    assert [name for name in NATIVE if RACES["put"].is_for(WORKED[name])] == ["svcjobs worker"]
    assert [name for name in NATIVE if RACES["drain_1"].is_for(WORKED[name])] == list(NATIVE)


def test_the_worker_keeps_the_jobs_that_it_had_when_it_was_killed(server_program: ServerProgram) -> None:
    assert run_race(server_program, "kill", "svcjobs worker", Size(1, 1, 1, 1, repair_seconds=60)) == kept(20)


@pytest.mark.parametrize(("name", "race"), [*((name, "drain_1") for name in NATIVE), ("svcjobs facade", "drain_kept")])
def test_a_worker_is_measured_while_it_drains(name: str, race: str, server_program: ServerProgram) -> None:
    measured = run_race(server_program, race, name, Size(0.5, 5, 1, 1))[race]
    assert measured["rate"] > 0
    assert measured["worker_memory"] > 20
    assert 2 < measured["commands"] < 60


@pytest.mark.parametrize("name", ["queued", "delayed", "in_flight", "shuffled", "sized"])
def test_a_curve_gives_the_cost_of_a_job_at_each_of_its_points(name: str, server_program: ServerProgram) -> None:
    walked = list(CURVES[name].walk(server_program, (100, 250), 2, 0.02))
    assert len(walked) == 4
    for values in walked:
        assert set(values) == {f"{way}{what}" for way in ("", "batch_") for what in ("rate", "client_cpu", "redis_cpu")}
        assert values["rate"] > 0
        assert values["batch_rate"] > 0
        assert min(values.values()) >= 0


def test_jobs_lie_where_a_curve_wants_them_and_stay_there(own_server: RedisServer) -> None:
    queue = RedisJobQueue(own_server.client())
    with ServerMeter(own_server.url) as meter:
        ground = Ground(queue, meter, shuffled=True)
        ground.delayed(30)
        ground.in_flight(1020)
        ground.queued(10)
        ground.live(5)
    stats = queue.stats()
    assert (stats.ready, stats.delayed, stats.in_flight, stats.dead) == (10, 30, 1020, 0)
    queue.close()


def test_a_worker_is_measured_on_several_queues_and_far_from_its_server(server_program: ServerProgram) -> None:
    # so many jobs that they can't all run before the measuring process gets the CPU again
    (spread,) = CURVES["spread"].walk(server_program, (3,), 1, 1.0)
    (far,) = CURVES["far"].walk(server_program, (1,), 1, 1.0)
    assert {"rate", "idle_commands", "pickup_p99"} <= set(spread)
    assert far["rate"] > 0


def test_a_contender_that_fails_says_why(server_program: ServerProgram) -> None:
    with open_stand(server_program, "svcjobs worker") as stand, pytest.raises(Stalled, match="has no attribute 'nap'"):
        stand.visit("nap", 1)


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_contender_stores_and_finishes_exactly_the_jobs_it_is_given(name: str, own_server: RedisServer) -> None:
    client = own_server.client()
    contender = open_contender(name, own_server.url)
    contender.enqueue(3)
    contender.enqueue_many(205)
    assert client.llen("jobs:ready") == 208
    contender.drain(3)
    contender.drain_batches(205)
    assert [client.exists(f"jobs:{key}") for key in ("ready", "processing", "processing_vt", "job:1")] == [0, 0, 0, 0]
    contender.put({"n": 1})
    contender.put({"n": 2})
    seen: list[int] = []

    def handle(payload: dict[str, int]) -> bool:
        seen.append(payload["n"])
        return len(seen) < 2

    contender.consume(handle, 5)
    contender.close()
    assert seen == [1, 2]
    assert client.llen("jobs:processing") == 0
